#!/bin/sh
# -*- coding: utf-8 -*-
# In place of pybackup.py, for crontabs and scripts that call "python /some/where/pybackup.py": a link to this file. It
# hands all over to mykeeper, called by the link's own name, so that pybackup.conf is looked for beside the link. It can
# be run by itself, too, and by any Python from 2.6 on. A link straight to mykeeper does the same where no Python is
# named.
''':'
for keeper in "$(command -v mykeeper)" /usr/local/bin/mykeeper /usr/bin/mykeeper; do
    [ -x "$keeper" ] || continue
    conf=$(dirname -- "$0")/pybackup.conf
    [ -e "$conf" ] && exec "$keeper" pybackup --conf "$conf" "$@"
    exec "$keeper" pybackup "$@"
done
echo "error: there is no mykeeper in PATH, /usr/local/bin or /usr/bin: install it" >&2
exit 3
'''
import os
import sys

FOLDERS = os.environ.get("PATH", "").split(os.pathsep) + ["/usr/local/bin", "/usr/bin"]
for folder in FOLDERS:
    keeper = os.path.join(folder, "mykeeper")
    if folder and os.access(keeper, os.X_OK):
        os.execv(keeper, [sys.argv[0]] + sys.argv[1:])
sys.stderr.write("error: there is no mykeeper in PATH, /usr/local/bin or /usr/bin: install it\n")
sys.exit(3)
