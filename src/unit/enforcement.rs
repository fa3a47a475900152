//! What becomes of what a unit asks of the kernel.

/// What became of a key that asks something of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// The kernel holds it.
    Enforced,
    /// It is not held, and the unit runs all the same: why.
    Skipped(Box<str>),
}

/// A key that this kernel or parent cannot enforce: the start is refused (INTERFACE, the fail-closed rule).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unenforceable {
    /// `memory-max`.
    pub key: Box<str>,
    /// Why not, for people: `no memory controller in this kernel`.
    pub cause: Box<str>,
    /// As errno(3); 0 where no system call failed.
    pub errno: i32,
}
