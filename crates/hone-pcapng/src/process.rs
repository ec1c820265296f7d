//! The process event: a process started, forked or ended, or was there when the section began.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::block::PROCESS;
use crate::emit::{Layout, Sink, emits};
use crate::executable_hash;
use crate::memory::concatenate;
use crate::option::{OptionList, Options, is_kept};
use crate::order::{join, split};
use crate::{ByteOrder, ExecutableHash, RawOption, ReadErrorKind};

const KIND: u16 = 2;
const PATH: u16 = 3;
const ARGUMENTS: u16 = 4;
const PARENT: u16 = 5;
const USER: u16 = 6;
const GROUP: u16 = 7;
const USER_NAME: u16 = 8;
const GROUP_NAME: u16 = 9;
const SECURITY_ID: u16 = 10;
const COMMAND_LINE: u16 = 11;
const CONTAINER: u16 = 12;
const NAMESPACE_PID: u16 = 13;
const NETWORK_NAMESPACE: u16 = 14;
const UNIT: u16 = 15;
const HASH: u16 = 16;
const BORN: u16 = 17;
const EXECUTIONS: u16 = 18;

/// What happened to a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProcessEventKind {
    /// It started to run its program. The option is left out.
    #[default]
    Started,
    /// It was forked from its parent and runs the same program.
    Forked,
    /// It is a thread of the kernel (Linux).
    KernelThread,
    /// More is known of it: the hash of its executable. It may have ended. Hone's own.
    Hashed,
    /// It ended.
    Ended,
    /// Something that this crate has no name for. The number of a named kind is read back as that kind.
    Other(u32),
}

impl From<u32> for ProcessEventKind {
    fn from(number: u32) -> Self {
        match number {
            0 => Self::Started,
            1 => Self::Forked,
            2 => Self::KernelThread,
            3 => Self::Hashed,
            u32::MAX => Self::Ended,
            other => Self::Other(other),
        }
    }
}

impl From<ProcessEventKind> for u32 {
    fn from(kind: ProcessEventKind) -> Self {
        match kind {
            ProcessEventKind::Started => 0,
            ProcessEventKind::Forked => 1,
            ProcessEventKind::KernelThread => 2,
            ProcessEventKind::Hashed => 3,
            ProcessEventKind::Ended => Self::MAX,
            ProcessEventKind::Other(other) => other,
        }
    }
}

/// Process event block.
///
/// ```text
///  0            4            8            12           16           20
/// ┌────────────┬────────────┬────────────┬────────────┬────────────┬─────────┬────────┐
/// │ 0x00000101 │ length     │ process    │ time, high │ time, low  │ options │ length │
/// └────────────┴────────────┴────────────┴────────────┴────────────┴─────────┴────────┘
///   2 kind (u32, 0 if absent)   3 path *   4 arguments *   5 parent (u32)   6 user (u32)   7 group (u32)
///   8 user name   9 group name   10 security id   11 command line   12 container   13 process id in its own namespace (u32)
///   14 network namespace (u32)   15 systemd unit   16 hash of the executable (32 bytes, or 1: why it is not known)
///   17 when it was forked, ns since the boot (u64)   18 executions (u32)
///                                                                      * may be repeated: the parts of one value
/// ```
///
/// From the Hone format description; 12 to 18 and kind 3 are this project's own. Texts are bytes as the operating system gave them, UTF-8 as a rule.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ProcessEvent<'a> {
    /// The process id.
    pub process: u32,
    /// When it happened, in units of the section's interface 0.
    pub timestamp: u64,
    /// What happened.
    pub kind: ProcessEventKind,
    /// Full path of the executable; of a kernel thread, `[name]`. Any length that the block can hold.
    pub path: Option<Cow<'a, [u8]>>,
    /// The arguments, a NUL after each. Any length that the block can hold.
    pub arguments: Option<Cow<'a, [u8]>>,
    /// The parent's process id.
    pub parent: Option<u32>,
    /// Effective user id.
    pub user: Option<u32>,
    /// Effective group id.
    pub group: Option<u32>,
    /// The name of `user`.
    pub user_name: Option<Cow<'a, [u8]>>,
    /// The name of `group`.
    pub group_name: Option<Cow<'a, [u8]>>,
    /// (Windows) The owner's security identifier as text, `S-1-5-...`.
    pub security_id: Option<Cow<'a, [u8]>>,
    /// (Windows) The command line as it was given, of which `arguments` are the parts. At most 65,535 bytes.
    pub command_line: Option<Cow<'a, [u8]>>,
    /// (Linux) The id or the name of the container that it is in. At most 65,535 bytes.
    pub container: Option<Cow<'a, [u8]>>,
    /// (Linux) The process id in its own process id namespace, where that is not the initial one.
    pub namespace_pid: Option<u32>,
    /// (Linux) The inode number of its network namespace, as `/proc/PID/ns/net` shows it.
    pub network_namespace: Option<u32>,
    /// (Linux) The systemd unit that it is in. At most 65,535 bytes.
    pub unit: Option<Cow<'a, [u8]>>,
    /// The SHA-256 of the executable, or why it is not known.
    pub hash: Option<ExecutableHash>,
    /// (Linux) When it was forked, nanoseconds since the boot. An exec keeps it, and no setting of the clock changes it.
    pub born: Option<u64>,
    /// (Linux) How many programs it, and before its fork its ancestors, have executed, as the kernel counts.
    pub executions: Option<u32>,
    /// Comments, unknown and repeated options.
    pub other: Vec<RawOption<'a>>,
}

impl<'a> ProcessEvent<'a> {
    /// Parses a body: what is between the two lengths.
    ///
    /// # Errors
    /// [`ReadErrorKind`]: a length, or no memory.
    pub fn parse(body: &'a [u8], order: ByteOrder) -> Result<Self, ReadErrorKind> {
        let ([process, high, low], rest) = order.take_words(body)?;
        let mut event = Self { process, timestamp: join(high, low), ..Self::default() };
        let mut kind = None;
        for option in Options::new(rest, body, order) {
            let option = option?;
            match option.code {
                KIND if kind.is_none() => kind = Some(option.u32()?.into()),
                PATH => concatenate(&mut event.path, option.value)?,
                ARGUMENTS => concatenate(&mut event.arguments, option.value)?,
                PARENT if event.parent.is_none() => event.parent = Some(option.u32()?),
                USER if event.user.is_none() => event.user = Some(option.u32()?),
                GROUP if event.group.is_none() => event.group = Some(option.u32()?),
                USER_NAME if event.user_name.is_none() => event.user_name = Some(option.bytes()),
                GROUP_NAME if event.group_name.is_none() => event.group_name = Some(option.bytes()),
                SECURITY_ID if event.security_id.is_none() => event.security_id = Some(option.bytes()),
                COMMAND_LINE if event.command_line.is_none() => event.command_line = Some(option.bytes()),
                CONTAINER if event.container.is_none() => event.container = Some(option.bytes()),
                NAMESPACE_PID if event.namespace_pid.is_none() => event.namespace_pid = Some(option.u32()?),
                NETWORK_NAMESPACE if event.network_namespace.is_none() => {
                    event.network_namespace = Some(option.u32()?);
                }
                UNIT if event.unit.is_none() => event.unit = Some(option.bytes()),
                BORN if event.born.is_none() => event.born = Some(option.u64()?),
                EXECUTIONS if event.executions.is_none() => event.executions = Some(option.u32()?),
                HASH if event.hash.is_none() => match executable_hash::parse(option.value) {
                    Some(hash) => event.hash = Some(hash),
                    // Of a later version.
                    None => option.keep(&mut event.other)?,
                },
                _ => option.keep(&mut event.other)?,
            }
        }
        event.kind = kind.unwrap_or_default();
        Ok(event)
    }
}

impl Layout for ProcessEvent<'_> {
    const NAME: &'static str = "process event";

    fn kind(&self) -> u32 {
        PROCESS
    }

    fn body(&self, sink: &mut impl Sink) {
        let [high, low] = split(self.timestamp);
        sink.words([self.process, high, low]);
        let mut options = OptionList::new(sink);
        options.u32(KIND, Some(self.kind.into()).filter(|kind| *kind != 0 || is_kept(&self.other, KIND)));
        options.repeated(PATH, self.path.as_deref());
        options.repeated(ARGUMENTS, self.arguments.as_deref());
        options.u32(PARENT, self.parent);
        options.u32(USER, self.user);
        options.u32(GROUP, self.group);
        options.bytes(USER_NAME, "user name", self.user_name.as_deref());
        options.bytes(GROUP_NAME, "group name", self.group_name.as_deref());
        options.bytes(SECURITY_ID, "security id", self.security_id.as_deref());
        options.bytes(COMMAND_LINE, "command line", self.command_line.as_deref());
        options.bytes(CONTAINER, "container", self.container.as_deref());
        options.u32(NAMESPACE_PID, self.namespace_pid);
        options.u32(NETWORK_NAMESPACE, self.network_namespace);
        options.bytes(UNIT, "unit", self.unit.as_deref());
        match self.hash {
            Some(Ok(hash)) => options.bytes(HASH, "hash", Some(&hash)),
            Some(Err(reason)) => options.u8(HASH, Some(executable_hash::code(reason))),
            None => {}
        }
        options.u64(BORN, self.born);
        options.u32(EXECUTIONS, self.executions);
        options.finish(&self.other);
    }
}

emits!(ProcessEvent);
