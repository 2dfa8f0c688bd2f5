# One snapshot of all databases, compressed by mydumper, then sent.
#
# Words: socket, folder of the day, destination, its password file, threads of mydumper, databases as an expression.
set -eu
socket=$1 day=$2 destination=$3 password_file=$4 threads=$5 databases=$6
mkdir -p "$day"
mydumper --user=root --socket="$socket" --regex="$databases" --outputdir="$day/set" \
    --logfile="$day.log" --verbose=3 --compress --threads="$threads" --triggers --events --routines
rsync -auv --password-file="$password_file" "$day" "$destination"
