#!/bin/sh
# The groups of tests in packages.txt that this machine cannot run, one a line: group|packages
PATH="$PATH:/usr/sbin"
grep -v '^#' "$(dirname "$0")/packages.txt" | while IFS='|' read -r group needed packages; do
    for one in $needed; do
        case $one in
        /*) [ -e "$one" ] ;;
        *) command -v "$one" >/dev/null ;;
        esac || {
            echo "$group|$packages"
            break
        }
    done
done
