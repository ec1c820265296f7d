//! The share of the processors that a recorder gets when they are all busy.
//!
//! A recorder that has to wait loses what finds no room meanwhile, while it needs little time itself. Between services of
//! systemd, their weights decide: see `packaging/honed.service`.

use std::io;

use rustix::process::{getpid, getpriority_process, setpriority_process};

/// The nice value of a recorder: nine times the weight of 0 (sched(7)), and no real-time priority.
const RAISED: i32 = -10;

/// Lets the calling thread, and those that it starts from now on, run before others; also its session, if it leads one:
/// where the kernel shares time out by sessions (`kernel.sched_autogroup_enabled`), nice values count within one only.
///
/// # Errors
/// There is no permission (`CAP_SYS_NICE`, or `RLIMIT_NICE` as the unit sets it); then everything stays as it is. So does a nice value that somebody has set.
pub fn raise_priority() -> io::Result<()> {
    if getpriority_process(None)? != 0 {
        return Ok(());
    }
    setpriority_process(None, RAISED)?;
    // SAFETY: a call with a number alone. rustix's type cannot hold the 0 of a session from outside the pid namespace.
    let session = unsafe { libc::getsid(0) };
    if session == getpid().as_raw_nonzero().get() {
        // Missing where the kernel does not do this.
        let _ = std::fs::write("/proc/self/autogroup", RAISED.to_string());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threads have nice values of their own, so this changes no other test's.
    #[test]
    fn a_thread_is_raised_and_what_somebody_set_stays() {
        let nice = || getpriority_process(None).expect("every thread has one");
        let run = |set: i32| {
            std::thread::spawn(move || {
                setpriority_process(None, set)?;
                raise_priority()?;
                Ok::<_, io::Error>(nice())
            })
            .join()
            .expect("it does not panic")
        };
        if nice() != 0 || run(0).is_err() {
            return hone_testing::skip("no permission to raise priorities, or one is set already");
        }
        assert_eq!(run(0).expect("it may"), RAISED);
        assert_eq!(run(5).expect("it may"), 5);
    }
}
