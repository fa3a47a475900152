//! What the engine's own types consist of, each named once: the compiler holds this to the types, for a field or variant
//! that is added to one and not to the other does not compile. A name that changes here is another form:
//! `the_first_form_is_still_read` in the tests is what records of earlier versions look like.

use crate::engine::action::{Change, Outcome};
use crate::engine::event::{Because, Cause, End, Role, Verb};
use crate::engine::health::{Health, HealthWord};
use crate::engine::history::Entry;
use crate::engine::said::{ReloadStage, Said};
use crate::engine::slot::{Ending, State, StopPhase};
use crate::engine::timing::Timing;
use crate::engine::triggers::Set;
use crate::engine::view::RunResult;

/// A struct by its fields, an enum by its variants: a bare one is its name, one with fields is `{"Name":{…}}`.
macro_rules! saved {
    (struct $type:ident { $($field:ident),* $(,)? }) => {
        impl $crate::engine::record::json::Saved for $type {
            fn write(&self, out: &mut String) {
                let $type { $($field),* } = self;
                let mut object = $crate::engine::record::json::Object::new(out);
                $(object.field(stringify!($field), $field);)*
                object.end();
            }
            fn read(value: &serde_json::Value) -> Option<Self> {
                let object = value.as_object()?;
                Some(Self { $($field: $crate::engine::record::json::field(object, stringify!($field))?),* })
            }
        }
    };
    (enum $type:ident { $($variant:ident $({ $($field:ident),* })? $(($($place:ident),*))?),* $(,)? }) => {
        impl $crate::engine::record::json::Saved for $type {
            fn write(&self, out: &mut String) {
                match self {
                    $(Self::$variant $({ $($field),* })? $(($($place),*))? => {
                        #[allow(unused_mut, reason = "a bare variant has no fields")]
                        let mut variant = $crate::engine::record::json::Variant::new(stringify!($variant), out);
                        $($(variant.field(stringify!($field), $field);)*)?
                        $($(variant.field(stringify!($place), $place);)*)?
                        variant.end();
                    })*
                }
            }
            fn read(value: &serde_json::Value) -> Option<Self> {
                let (name, _fields) = $crate::engine::record::json::variant_of(value)?;
                match name {
                    $(stringify!($variant) => Some(
                        Self::$variant
                            $({ $($field: $crate::engine::record::json::field(_fields, stringify!($field))?),* })?
                            $(($($crate::engine::record::json::field(_fields, stringify!($place))?),*))?
                    ),)*
                    _ => None,
                }
            }
        }
    };
}

pub(crate) use saved;

saved!(enum State {
    Inactive, Failed, Skipped, Waiting, Blocked, Checking, Arming { give_up }, Armed,
    Starting { role, main_alive, give_up },
    Running { main_alive, since, until, reload, watchdog, health },
    Stopping { phase, ending, main_alive, give_up },
    Stuck { ending },
    Releasing { ending },
    Backoff { until },
});
saved!(
    enum StopPhase {
        Command(nth),
        Term,
        Kill,
        Post(nth),
        Clean,
    }
);
saved!(struct Ending {
    result, end, requested, transient, refused, skipped, in_backoff, not_begun, for_good, why, ready_since
});
saved!(enum RunResult {
    Success, ExitCode(code),
    Signal { signal, core, by },
    Oom { limit, peak },
    Timeout(phase),
    Watchdog,
    Unhealthy,
    Protocol { why },
    Spawn { step, errno, detail },
    Assert, StartLimit,
});
saved!(
    enum End {
        Code(code),
        Signal(signal),
    }
);
saved!(
    enum Verb {
        Start,
        Stop,
        Restart,
        Reload,
        Reset,
    }
);
saved!(
    enum Role {
        Condition(nth),
        Pre(nth),
        Main(nth),
        Post(nth),
        Reload(nth),
        Stop(nth),
        StopPost(nth),
        Probe,
    }
);
saved!(enum Cause {
    Boot,
    Operator { uid, pid, program },
    Files,
    Signal(name),
    Unit(unit, because),
    Policy,
    Deploy(why),
    Timer(what),
    Path(what),
    Connection(what),
});
saved!(
    enum Because {
        RequiredBy,
        WantedBy,
        BoundTo,
        PartOf,
        ConflictsWith,
        OnFailureOf,
        OnSuccessOf,
        StoppedWith,
        BackWith,
        BadHealthOf,
    }
);
saved!(enum Change {
    Starting { by },
    Ready,
    Stopping { by },
    Ended { result, failed },
    Backoff { delay, nth },
    GaveUp { starts },
    Blocked { by },
    Skipped { condition },
    Reloaded,
    Signalled { signal, by },
    Updated { what, by },
    Adopted,
    Stuck,
    Refused { why },
    Healthy,
    Unhealthy { failures },
});
saved!(
    enum Outcome {
        Done,
        Failed(why),
        Refused(why),
        Unenforceable(why),
        Superseded(why),
    }
);
saved!(
    enum Set {
        No,
        Stale,
        Yes,
    }
);
saved!(struct Entry { at, unit, what });
saved!(struct Said { status, watchdog, reload, forked });
saved!(
    enum ReloadStage {
        None,
        Asked,
        Begun,
    }
);
saved!(struct Health { word, failures, probing, late, due, forgiven_until });
saved!(
    enum HealthWord {
        Starting,
        Healthy,
        Unhealthy,
    }
);
saved!(struct Timing { starting, ready, released_by });
