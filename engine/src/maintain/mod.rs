//! Keeping a repository in shape: forget snapshots by a rule, and prune what nothing needs any more.

mod forget;
mod keep;
mod prune;

pub use forget::{
    ForgetPlan, Kept, Listed, apply as forget, named as forget_named, plan as forget_plan,
    plan_where as forget_plan_where, undo as undo_forget,
};
pub use keep::{Candidate, Policy, Reason};
pub use prune::{Bounds, PackPlan, PackUse, PruneOptions, PruneReport, prune, undo as undo_prune};
