# What `up` and `down` share.

default_dir=${XDG_RUNTIME_DIR:-/tmp}/nave-kube-$UID
dir=$default_dir

die() { echo "$(basename "$0"): $*" >&2; exit 1; }

usage() { echo "usage: $1" >&2; exit 2; }

# The default place may be one where others can write too: a folder that is not
# ours could hold anything.
own_dir() {
  dir=$(cd "$dir" && pwd)
  [[ -O $dir ]] || die "$dir is not yours"
}

# The --dir that leads to this folder, for hints.
dir_flag() { [[ $dir == "$default_dir" ]] || echo " --dir $dir"; }

# The lock files of the clusters that run; each holds the pid of its holder.
running() {
  local lock
  for lock in "$dir"/cluster-*/lock; do
    if [[ -e $lock ]] && ! flock -n "$lock" true; then
      echo "$lock"
    fi
  done
}
