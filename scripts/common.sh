# What the setup scripts share: folders, messages, and a Python with pip. Sourced, not run.
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
