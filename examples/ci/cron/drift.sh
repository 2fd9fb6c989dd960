#!/usr/bin/env bash
# Looks after drift, and mails what it finds. One line of a crontab:
#   17 * * * *  MANIFESTS=/etc/reconciler/manifests MAILTO=platform@example.com /usr/local/bin/drift.sh
# Says nothing where all is well, so that cron mails nothing. Ends with the reconciler's exit code.
set -uo pipefail

manifests="${MANIFESTS:?the folder of the manifests}"
lock="${LOCK:-/tmp/reconciler-drift.lock}"

exec 9>"$lock"
if ! flock --nonblock 9; then
    echo "drift: the look before has not ended yet" >&2
    exit 1
fi

report="$(reconciler drift "$manifests" --no-color 2>&1)"
code=$?
case "$code" in
    0) exit 0 ;;
    2) echo "drift: something is not as it was applied" ;;
    3) echo "drift: the manifest is not applied" ;;
    4) echo "drift: not everything could be read" ;;
    *) echo "drift: the look failed" ;;
esac
echo "$report"
exit "$code"
