//! `completions`: what a shell needs to complete commands. Verbs and flags are written out by their maker; the names of
//! units are asked of the supervisor at each completion, which here is added for each shell.

use clap::CommandFactory;
use clap_complete::Shell;

use super::arguments::Arguments;
use super::failure::Failure;
use super::session::Session;

/// `svc completions`: made in memory first, since the maker panics where it cannot write.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(session: &mut Session<'_>, shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "svc", &mut script);
    let script = String::from_utf8_lossy(&script);
    let script = match shell {
        Shell::Bash => format!("{script}\n{}", BASH.replace("VERBS", &verbs().join("|"))),
        Shell::Zsh => zsh(&script),
        Shell::Fish => format!("{script}\n{}", FISH.replace("VERBS", &verbs().join(" "))),
        // The maker may come to know more shells than it does today.
        Shell::Elvish | Shell::PowerShell | _ => script.into_owned(),
    };
    Ok(session.out.write_all(script.as_bytes())?)
}

/// Verbs that take units.
fn verbs() -> Vec<String> {
    let mut command = Arguments::command();
    command.build();
    let takes_units = |verb: &&clap::Command| {
        let mut positionals = verb.get_positionals();
        positionals.any(|argument| UNITS.contains(&argument.get_id().as_str()))
    };
    let verbs = command.get_subcommands().filter(takes_units);
    verbs.map(|verb| verb.get_name().to_owned()).collect()
}

/// What arguments that are units are called.
const UNITS: [&str; 2] = ["unit", "units"];

/// The first column of `svc list`, of the supervisor that is typed or meant. A name may have letters that divide words in
/// bash: what is before the last of them is taken off, since bash keeps it.
const BASH: &str = r#"_svc_units() {
    local place name rest socket=()
    for ((place = 1; place < COMP_CWORD; place++)); do
        [[ ${COMP_WORDS[place]} == --socket ]] && socket=(--socket "${COMP_WORDS[place + 1]}")
    done
    while read -r name rest; do
        [[ $name == UNIT ]] || printf '%s\n' "$name"
    done < <(svc --no-color "${socket[@]}" list --all 2>/dev/null)
}

_svc_with_units() {
    _svc "$@"
    local place verb= word=${COMP_LINE:0:COMP_POINT} reply=() one
    word=${word##*[[:space:]]}
    # The names of arguments are no words to be typed.
    for one in "${COMPREPLY[@]}"; do
        [[ $one == [\<\[]* ]] || reply+=("$one")
    done
    COMPREPLY=("${reply[@]}")
    [[ $word == -* ]] && return
    for ((place = 1; place < COMP_CWORD; place++)); do
        case ${COMP_WORDS[place]} in
        --socket) ((place++)) ;;
        -*) ;;
        *) verb=${COMP_WORDS[place]} && break ;;
        esac
    done
    case $verb in
    VERBS)
        local before=${word%"${word##*[@:=]}"}
        while read -r one; do
            COMPREPLY+=("${one#"$before"}")
        done < <(compgen -W "$(_svc_units)" -- "$word")
        ;;
    esac
}
complete -F _svc_with_units -o bashdefault -o default svc
"#;

const FISH: &str = r#"function __svc_units
    svc --no-color list --all 2>/dev/null | string replace -r '\s.*' '' | string match -v UNIT
end
complete -c svc -n "__fish_svc_using_subcommand VERBS" -f -a "(__svc_units)"
"#;

const ZSH: &str = r#"_svc_units() {
    local -a units
    units=(${${(f)"$(svc --no-color list --all 2>/dev/null)"}%% *})
    compadd -- ${units:#UNIT}
}

"#;

/// Its arguments that are units are completed by a function of ours.
fn zsh(script: &str) -> String {
    let is_units = |line: &str| {
        let name = line.trim_start_matches(['\'', '*', ':']);
        line.starts_with(['\'']) && UNITS.iter().any(|units| name.starts_with(&format!("{units} -- ")))
    };
    let line = |line: &str| match is_units(line) {
        true => line.replace(":_default'", ":_svc_units'"),
        false => line.to_owned(),
    };
    let mut lines: Vec<String> = script.lines().map(line).collect();
    // Behind `#compdef` and `autoload`.
    let place = lines
        .iter()
        .position(|line| line.starts_with("_svc()"))
        .unwrap_or(lines.len());
    lines.insert(place, ZSH.to_owned());
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_of_units_are_known_and_zsh_asks_for_them() {
        let verbs = verbs();
        for verb in ["start", "stop", "status", "logs", "exec", "show"] {
            assert!(verbs.iter().any(|known| known == verb), "{verb}: {verbs:?}");
        }
        assert!(
            !verbs
                .iter()
                .any(|verb| matches!(verb.as_str(), "up" | "image" | "list" | "doctor"))
        );
        let mut script = Vec::new();
        clap_complete::generate(Shell::Zsh, &mut Arguments::command(), "svc", &mut script);
        let script = zsh(&String::from_utf8_lossy(&script));
        assert_eq!(script.matches("_svc_units() {").count(), 1);
        assert!(script.matches(":_svc_units'").count() >= verbs.len(), "{script}");
        assert!(script.contains("--version["), "{script}");
    }
}
