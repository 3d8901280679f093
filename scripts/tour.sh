#!/bin/bash
# A short tour of pongofs on real data: tour.sh [clean]. It prints each command
# and what the command really says. It keeps its store, mount and backup in
# RUN_DIR (run/ by default) and starts afresh each time; clean removes it.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
dir=${RUN_DIR:-run}
cd "$top"
PATH=$top/bin:$PATH

# The last tour may still be mounted.
if grep -qs " $(realpath -m "$dir")/mnt fuse.pongofs " /proc/self/mounts; then
	pongofs umount "$dir/mnt" || pongofs umount --lazy "$dir/mnt" || umount -l "$dir/mnt"
fi
# Only what a tour makes is removed: RUN_DIR may be a directory of the user's.
rm -rf "$dir/stations.pongo" "$dir/stations.pongo-shm" "$dir/backup"
[ ! -d "$dir/mnt" ] || rmdir "$dir/mnt"
if [ "${1:-}" = clean ]; then
	[ ! -d "$dir" ] || rmdir --ignore-fail-on-non-empty "$dir"
	exit 0
fi
mkdir -p "$dir/mnt"

say() { printf '\n# %s\n' "$*"; }
# Shows a command line and runs it.
show() {
	printf '$ %s\n' "$1"
	bash -c "$1"
}
# The same for one that must fail.
refused() {
	printf '$ %s\n' "$1"
	if bash -c "$1" 2>&1; then
		echo "tour: this should have been refused" >&2
		exit 1
	fi
}
store=$dir/stations.pongo
mnt=$dir/mnt

say "A store is one file. Two documents go into it, with their types."
show "pongofs create $store"
show "pongofs import $store data/ncdc_stations_big.json"
show "pongofs import $store data/bank-holidays.json holidays"

say "Mount it: dicts are directories, lists are numbered, values are files."
show "pongofs mount $store $mnt"
show "tree -L 3 --noreport -I results $mnt"
show "ls $mnt/results | wc -l"
show "tree $mnt/results/0"
show "cat $mnt/results/0/name"

say "Values have types: * marks those that somebody declared, as import does."
show "getfattr --only-values -n user.pongo.type $mnt/results/0/elevation; echo"
show "pongofs ls -l $store results/0"

say "Edit with the shell, with sed, with anything."
show "echo 140 > $mnt/results/0/elevation; cat $mnt/results/0/elevation"
show "sed -i s/ABBEVILLE/Abbeville/ $mnt/results/0/name; cat $mnt/results/0/name"
show "echo 42 > $mnt/answer; pongofs type $store answer"
show "echo forty-two > $mnt/answer; pongofs type $store answer"

say "A declared int stays an int: the write fails, the value stays."
refused "echo hello > $mnt/results/0/elevation"
show "cat $mnt/results/0/elevation"

say "Back it up with rsync. The second run has nothing to do."
show "rsync -aX --stats $mnt/ $dir/backup/ | grep 'files transferred'"
show "rsync -aX --stats $mnt/ $dir/backup/ | grep 'files transferred'"

say "Take a piece out as a document, and look at the store itself."
show "pongofs export --format json $store results/0"
show "pongofs info $store"

cat <<END

The store is mounted at $mnt: look around. When you have finished:

    bin/pongofs umount $mnt
END
