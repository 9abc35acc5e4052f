# What the setup scripts share: folders, messages, a Python with pip, and pinned wheels. Sourced, not run.
# shellcheck shell=bash disable=SC2034

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
readonly root
readonly cache="${DDPO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ddpo}"
readonly python="${PYTHON:-python3}"

# Messages go to standard error: standard output is for paths that a caller reads.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# Ends the script with an error and, where there is a way out, a hint.
die() {
  say "error: $1"
  [ $# -lt 2 ] || say "hint: $2"
  exit 1
}

# Prints the path of a Python that has pip: the host's, or that of a virtual environment in the cache.
pip_python() {
  if "$python" -m pip --version >/dev/null 2>&1; then
    printf '%s' "$python"
    return
  fi
  local environment="$cache/pip"
  if [ ! -x "$environment/bin/pip" ]; then
    "$python" -m venv "$environment" >&2 ||
      die "$python has neither pip nor venv" "run scripts/setup-system, or install python3-venv"
  fi
  printf '%s' "$environment/bin/python"
}

sha256_of() { sha256sum "$1" | cut -d ' ' -f 1; }

# Prints the path of the cached wheel of the requirement $1 (NAME==VERSION) for the platform $2 and the machine
# $4, with the SHA-256 $3; fetches it when it is missing.
wheel() {
  local requirement="$1" platform="$2" checksum="$3" machine="$4" candidate folder name
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
  printf '%s --hash=sha256:%s\n' "$requirement" "$checksum" >"$folder/requirements"
  if ! "$(pip_python)" -m pip download --quiet --disable-pip-version-check --no-deps \
    --require-hashes --only-binary=:all: --implementation cp --python-version 3.11 \
    --platform "${platform}_$machine" --platform "manylinux2014_$machine" \
    --dest "$folder" --requirement "$folder/requirements" >&2; then
    rm -rf "$folder"
    die "could not fetch $requirement with SHA-256 $checksum" "check that pip reaches PyPI or a mirror of it"
  fi
  candidate="$(find "$folder" -name '*.whl' -print -quit)"
  mv -f "$candidate" "$cache/wheels/"
  rm -rf "$folder"
  printf '%s' "$cache/wheels/${candidate##*/}"
}
