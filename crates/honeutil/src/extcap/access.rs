//! Which interfaces this user can capture from, and why not.

use super::sentences::{HONE, LOCAL};
use crate::platform::{self, Access};

/// An interface that Wireshark lists.
#[derive(Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: &'static str,
    /// What the list says.
    pub display: String,
}

/// What an interface is called where it works.
const DISPLAY: &str = "Hone: packets with their processes";

/// The interfaces of this user at this moment.
pub(super) fn interfaces() -> Vec<Interface> {
    of(platform::access())
}

fn of(access: Access) -> Vec<Interface> {
    let hone = match access {
        Access::Service | Access::Both | Access::Local => DISPLAY.to_owned(),
        Access::NoService => format!("{DISPLAY} (honed does not run: sudo honeutil start)"),
        Access::NoPermission => format!("{DISPLAY} (no permission: join the group hone)"),
    };
    let mut interfaces = vec![Interface { name: HONE, display: hone }];
    if matches!(access, Access::Both) {
        interfaces.push(Interface { name: LOCAL, display: format!("{DISPLAY}, without honed") });
    }
    interfaces
}

#[cfg(test)]
mod tests {
    use super::super::sentences;
    use super::*;

    #[test]
    fn an_interface_that_cannot_work_says_why() {
        let list = |access| {
            sentences::interfaces(&of(access), None).lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        let hone = "interface {value=hone}{display=Hone: packets with their processes}";
        assert_eq!(list(Access::Service), [hone]);
        assert_eq!(list(Access::Local), [hone], "it is the same");
        let local = "interface {value=hone-local}{display=Hone: packets with their processes, without honed}";
        assert_eq!(list(Access::Both), [hone, local]);
        assert!(list(Access::NoService)[0].ends_with(" (honed does not run: sudo honeutil start)}"));
        assert!(list(Access::NoPermission)[0].ends_with(" (no permission: join the group hone)}"));
    }
}
