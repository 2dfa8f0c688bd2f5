#!/bin/bash
source ~/.bash_profile
num_validate=`ps -ef | grep pybackup | grep -v grep | grep validate|wc -l`
if [ "$num_validate" == 0 ];then
        python /data/scripts/bin/pybackup.py validate-backup --log-file=/data/scripts/log/validate.log
fi
