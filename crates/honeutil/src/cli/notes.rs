//! What long helps, and man pages, end with. What differs is in `notes` of each
//! system.

/// `honeutil --help`.
pub(crate) const NOTES: &str = "\
Exit status:
  0  done
  1  something failed; standard error says what
  2  the command line is wrong; nothing was started
  `honeutil help COMMAND` says what else a command has.

Environment:
  NO_COLOR  no color in help and in what is wrong with a command line";

/// `show --help`.
pub(crate) const SHOW_NOTES: &str = "\
Lines:
  TIME KIND PID USER NAME, then what the kind has; - where nothing is known.
  HEAD  a section begins: host, application, operating system
  EXEC  a process runs a program, or was found running
  FORK  a process was forked; it runs its parent's program
  KTHR  a thread of the kernel
  EXIT  a process ended
  SOCK  a connection was opened or closed, or packets of it are corrected
  PAKT  a packet: direction, protocol, source > destination, length
  STAT  what the section received and dropped
  Bytes that do not print, blanks included, are shown as \\x1b or \\u{202e}.

Corrections:
  A process can take over a socket with packets in it that were recorded as
  another one's. A correction (SOCK ... correction) then follows, in the same
  file or in a later one. Files are read twice: packets are shown, and
  filtered, with their right process, by the name that it has at the
  correction (JSON: hone.corrected is true). Name the files of a recording in
  their order, in one command. A pipe and standard input are read once: their
  packets are shown as they were recorded, and the corrections behind them.

Filters:
  Different options must all be met, of one option given again any. An event
  that has nothing to compare is not shown: a process event has no port.

Exit status:
  0    everything was shown
  1    something could not be read to its end; standard error says what, where
       and why, and what came before it was shown. Without a message: the
       pipe's reader closed it. `honeutil repair` keeps what is whole of a file
       with a torn end.
  2    the command line is wrong
  130  a second Ctrl-C; the first one, while a pipe is read, lets its writer
       end the stream";
