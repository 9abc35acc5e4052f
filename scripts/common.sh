# Shared by the setup scripts: folders, messages and pinned wheels. Sourced, not run.
# shellcheck shell=bash disable=SC2034

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
readonly root
readonly cache="${DDPO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ddpo}"
readonly python="${PYTHON:-python3}"

# Writes to standard error, because callers read paths from standard output.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# Ends the script with the error $1 and the optional hint $2.
die() {
  say "error: $1"
  [ $# -lt 2 ] || say "hint: $2"
  exit 1
}

sha256_of() { sha256sum "$1" | cut -d ' ' -f 1; }

# Prints the path of the cached wheel of the requirement $1 (NAME==VERSION) for the machine $3, with the SHA-256 $2.
# Downloads it if it is missing.
wheel() {
  local requirement="$1" checksum="$2" machine="$3" candidate folder name
  name="${requirement%%==*}"
  mkdir -p "$cache/wheels"
  for candidate in "$cache/wheels/${name//-/_}-"*"${requirement##*==}"*"$machine.whl"; do
    if [ -f "$candidate" ] && [ "$(sha256_of "$candidate")" = "$checksum" ]; then
      printf '%s' "$candidate"
      return
    fi
  done
  say "fetching $requirement"
  folder="$(mktemp -d "$cache/wheels/.fetch.XXXXXX")"
  candidate="$("$python" "$root/scripts/fetch_wheel.py" "$name" "$folder" "manylinux.*$machine" "$checksum")" || {
    rm -rf "$folder"
    die "could not fetch $requirement with SHA-256 $checksum" "check that PyPI or a mirror of it is reachable"
  }
  mv -f "$candidate" "$cache/wheels/"
  rm -rf "$folder"
  printf '%s' "$cache/wheels/${candidate##*/}"
}
