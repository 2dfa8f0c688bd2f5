# pybackup's way without db_consistency: database after database, each compressed by mydumper; then the size is measured
# and the positions are read; then the folder is sent. Its row in a catalog, and its Python, cost nothing here.
#
# Words: socket, folder of the day, destination, its password file, threads of mydumper, databases.
set -eu
socket=$1 day=$2 destination=$3 password_file=$4 threads=$5
shift 5
set_dir=$day/set
mkdir -p "$set_dir"
for database in "$@"; do
    mydumper --user=root --socket="$socket" --database="$database" --outputdir="$set_dir/$database" \
        --logfile="$day.log" --verbose=3 --compress --threads="$threads" --triggers --events --routines
done
du -sh "$set_dir"
cat "$set_dir"/*/metadata
rsync -auv --password-file="$password_file" "$day" "$destination"
