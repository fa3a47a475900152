//! `image gc`.

use serde::Serialize;

use super::arguments::Gc;
use super::failed;
use super::list::short;
use crate::cli::failure::{Failure, Kind};
use crate::cli::render::{bytes, stretch};
use crate::cli::session::Session;
use crate::cli::time;
use crate::image::budget::{Budget, Idle};
use crate::image::garbage::Garbage;
use crate::image::{Digest, Store};

/// What goes, as JSON.
#[derive(Debug, Serialize)]
struct Gone {
    idle: Vec<GoneImage>,
    images: Vec<String>,
    blobs: Vec<String>,
    layers: Vec<String>,
    unfinished: Vec<String>,
    bytes: u64,
    /// More than the budget, though nothing is left that may go.
    over: u64,
}

/// An image that gave way to the budget.
#[derive(Debug, Serialize)]
struct GoneImage {
    names: Vec<String>,
    digest: String,
    bytes: u64,
}

/// `svc image gc`.
///
/// # Errors
/// [`Failure`]: also where somebody adds to the store at this time, and where the budget cannot be held.
pub fn collect(session: &mut Session<'_>, store: &Store, order: &Gc) -> Result<(), Failure> {
    let wrong = |error| failed("image gc", error);
    let mut keep = Vec::new();
    for image in &order.keep {
        keep.push(store.find(image).map_err(wrong)?.digest);
    }
    let budget = order.budget.map(|size| Budget { bytes: size.0, keep });
    let garbage = match order.plan {
        true => store.garbage(budget.as_ref()).map(Some),
        false => store.collect(budget.as_ref()),
    };
    let Some(garbage) = garbage.map_err(wrong)? else {
        return Err(
            Failure::new(Kind::Failed, "image gc", "somebody adds to the store").hint("try again when that is done")
        );
    };
    match session.json {
        true => session.print_json(&gone(&garbage))?,
        false => tell(session, &garbage, order.plan)?,
    }
    match garbage.verdict.over {
        0 => Ok(()),
        over => Err(Failure::new(
            Kind::Failed,
            "image gc",
            format_args!("what is left is {} more than the budget", bytes(over)),
        )
        .hint("it is what units run, ran last or ran well before, what generations have, and what --keep names")),
    }
}

fn tell(session: &mut Session<'_>, garbage: &Garbage, plan: bool) -> std::io::Result<()> {
    let done = if plan { "would go" } else { "removed" };
    let size = |size: u64| bytes(size);
    for idle in &garbage.verdict.idle {
        let (names, ago) = (names(idle).join(", "), unused_for(idle));
        writeln!(
            session.out,
            "image {names} ({}), not used for {ago}: {done}",
            size(idle.bytes)
        )?;
    }
    for image in &garbage.unnamed {
        writeln!(session.out, "image {} has no name: {done}", short(&image.to_string()))?;
    }
    for (kind, all) in [("blob", &garbage.blobs), ("layer", &garbage.layers)] {
        for (digest, bytes) in all {
            let id = short(&digest.to_string());
            writeln!(session.out, "{kind} {id} ({}): {done}", size(*bytes))?;
        }
    }
    for path in &garbage.unfinished {
        writeln!(session.out, "{}: {done}", path.display())?;
    }
    let verb = if plan { "would be freed" } else { "freed" };
    writeln!(session.out, "{} {verb}", size(garbage.size()))
}

fn names(idle: &Idle) -> Vec<String> {
    idle.names.iter().map(ToString::to_string).collect()
}

fn unused_for(idle: &Idle) -> String {
    let used = idle.used.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let used = i64::try_from(used.as_millis()).unwrap_or(i64::MAX);
    stretch(time::now().saturating_sub(used))
}

fn gone(garbage: &Garbage) -> Gone {
    let texts = |all: &[(Digest, u64)]| all.iter().map(|(digest, _)| digest.to_string()).collect();
    let idle = garbage.verdict.idle.iter().map(|idle| GoneImage {
        names: names(idle),
        digest: idle.image.to_string(),
        bytes: idle.bytes,
    });
    Gone {
        idle: idle.collect(),
        images: garbage.unnamed.iter().map(ToString::to_string).collect(),
        blobs: texts(&garbage.blobs),
        layers: texts(&garbage.layers),
        unfinished: garbage
            .unfinished
            .iter()
            .map(|path| path.display().to_string())
            .collect(),
        bytes: garbage.size(),
        over: garbage.verdict.over,
    }
}
