# What packaging/initramfs and packaging/microvm have in common: their options, and the files of a machine. It is sourced.
# shellcheck shell=bash
# shellcheck disable=SC2154 # `here` is set by the script that sources this.

# With the sources beside it, a machine is made of what packaging/build has built; installed, of what is installed.
if [ -e "$here/../Cargo.toml" ]; then
  source_tree=$here/..
  svcd=$source_tree/target/package/svcd svc=$source_tree/target/package/svc shipped=$source_tree/units
else
  source_tree=
  svcd=/usr/sbin/svcd svc=/usr/bin/svc shipped=/usr/lib/svc/units
fi
out='' units='' base='' files='' modules='' wanted_modules='' busybox=''
PATH=$PATH:/usr/sbin:/sbin # mke2fs is there, where a user's shell does not look

die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Takes an option that both scripts have, with its value; false for any other.
common_option() {
  case $1 in
    --unit) units=$2 ;;
    --out) out=$2 ;;
    --root) base=$2 ;;
    --files) files=$2 ;;
    --svcd) svcd=$2 ;;
    --svc) svc=$2 ;;
    --busybox) busybox=$2 ;;
    --modules) modules=$2 ;;
    --module) wanted_modules="$wanted_modules $2" ;;
    *) return 1 ;;
  esac
}

check_options() {
  local folder
  [ -n "$out" ] || die "--out FILE is missing"
  for folder in "$units" "$base" "$files" "$modules"; do
    [ -z "$folder" ] || [ -d "$folder" ] || die "$folder: no such directory"
  done
  if [ -n "$source_tree" ] && [ "$svcd" = "$source_tree/target/package/svcd" ] && [ ! -x "$svcd" ]; then
    "$source_tree/packaging/build" >&2
  fi
  [ -x "$svcd" ] || die "$svcd: no such program"
  find_busybox
  # A mistake in a unit would show itself only on the console of a machine that does not come up.
  local folders=("$units") findings
  [ ! -d "$shipped" ] || folders+=("$shipped")
  if [ -n "$units" ] && [ -x "$svc" ]; then
    findings=$("$svc" check --json "${folders[@]}" || true)
    case $findings in
      *'"severity":"error"'*) "$svc" check "${folders[@]}" >&2 || die "$units: not valid" ;;
    esac
  fi
}

# One that is static, so that it runs in a machine without libraries; Debian's package is busybox-static.
find_busybox() {
  if [ -z "$busybox" ]; then
    for busybox in /usr/bin/busybox /bin/busybox; do [ ! -x "$busybox" ] || break; done
    if [ ! -x "$busybox" ] || needs_libraries "$busybox"; then busybox=; fi
  elif [ "$busybox" = none ]; then
    busybox=
  elif [ ! -x "$busybox" ] || needs_libraries "$busybox"; then
    die "$busybox: not a static busybox"
  fi
}

needs_libraries() { grep -qa '/ld-[a-z0-9_.-]*\.so' "$1"; }

# The machine's files below a directory: those of --root, what svcd needs, busybox where there is no shell, the units,
# and those of --files over all of it.
make_root() {
  local root=$1
  mkdir -p "$root"
  [ -z "$base" ] || cp -a "$base/." "$root/"
  mkdir -p "$root"/{dev,etc/svc/units,proc,root,run,srv,sys,tmp,usr/bin,usr/sbin,usr/lib/svc/units,var/lib,var/log,var/tmp}
  chmod 1777 "$root/tmp" "$root/var/tmp"
  chmod 700 "$root/root"
  local name
  for name in bin sbin lib; do
    [ -e "$root/$name" ] || [ -L "$root/$name" ] || ln -s "usr/$name" "$root/$name"
  done
  install -m 755 "$svcd" "$root/usr/sbin/svcd"
  ln -sf svcd "$root/usr/sbin/init"
  [ ! -x "$svc" ] || install -m 755 "$svc" "$root/usr/bin/svc"
  if [ ! -e "$root/bin/sh" ] && [ -n "$busybox" ]; then
    add_busybox "$root"
  fi
  [ -e "$root/etc/passwd" ] || printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$root/etc/passwd"
  [ -e "$root/etc/group" ] || printf 'root:x:0:\nsvc:x:999:\nnogroup:x:65534:\n' >"$root/etc/group"
  find "$shipped" -maxdepth 1 -name '*.toml' -exec cp -a {} "$root/usr/lib/svc/units/" \; 2>/dev/null || true
  [ -z "$units" ] || cp -a "$units/." "$root/etc/svc/units/"
  [ -z "$files" ] || cp -a "$files/." "$root/"
}

add_busybox() {
  local root=$1 applet
  install -m 755 "$busybox" "$root/usr/bin/busybox"
  for applet in $("$busybox" --list); do
    case $applet in
      busybox | init | svc) ;;
      *) ln -sf busybox "$root/usr/bin/$applet" ;;
    esac
  done
  # Its shell prefers its own applets of these names, which speak to another init.
  [ -e "$root/etc/profile" ] || cat >"$root/etc/profile" <<'END'
alias svc=/usr/bin/svc poweroff='svc poweroff' reboot='svc reboot' halt='svc halt'
END
}

# The modules that are wanted and what they depend on, with an index of just these: svcd loads them as its settings say.
add_modules() {
  local root=$1 folder release name file
  folder=$(readlink -f "$modules")
  release=${folder##*/}
  [ -e "$folder/modules.dep" ] || die "$modules: no modules.dep: it is to be a directory such as /lib/modules/$(uname -r)"
  local to=$root/lib/modules/$release
  mkdir -p "$to"
  cp "$folder/modules.builtin" "$to/"
  : >"$to/modules.dep"
  local loaded=()
  for name in $wanted_modules; do
    local line
    line=$(dependency_line "$folder" "$name")
    if [ -z "$line" ]; then
      is_builtin "$folder" "$name" || die "module $name: neither in $modules nor in its kernel"
      continue
    fi
    loaded+=("\"$name\"")
    for file in ${line/:/ }; do
      install -D -m 644 "$folder/$file" "$to/$file"
      grep -qF "$file:" "$to/modules.dep" || grep "^$file:" "$folder/modules.dep" >>"$to/modules.dep"
    done
  done
  local IFS=,
  printf '[boot]\nmodules = [%s]\n' "${loaded[*]}" >>"$root/etc/svc/svcd.toml"
}

# `a.ko: b.ko c.ko`, for the name of a module, in which hyphen and underscore are one.
dependency_line() {
  awk -v name="$2" -F: '{ file = $1; sub(/.*\//, "", file); sub(/\.ko.*/, "", file); gsub(/-/, "_", file); if (file == name) print }' "$1/modules.dep"
}

is_builtin() {
  awk -v name="$2" '{ sub(/.*\//, ""); sub(/\.ko.*/, ""); gsub(/-/, "_"); if ($0 == name) found = 1 } END { exit !found }' "$1/modules.builtin"
}

# Runs a command that sees all files as root's: as root, or in a user namespace.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else unshare --map-root-user "$@"; fi
}
