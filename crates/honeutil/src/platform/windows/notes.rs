//! What long helps end with, of commands that differ from system to system.

/// `read --help`.
pub(crate) const READ_NOTES: &str = "\
Keys:
  Ctrl-C      end the file at a block boundary, print the summary
  Ctrl-Break  end the file and begin the next, which stands alone:
              in DIR it is named by the time; FILE.pcapng is followed by
              FILE_1.pcapng, FILE_2.pcapng and so on; a pipe gets a new
              section
  When the window is closed, the user logs off or the computer shuts down, the
  recording ends as with Ctrl-C.

Files:
  If a file is deleted or replaced while it is written, a warning says so
  within a second. It is written on, the next file begins when it is due, and
  the exit status is 1. A file that is moved is whole: the summary has its new
  name. Neither is compressed or removed. What was finished before may be taken
  at any time.

Pipes:
  -w \\\\.\\pipe\\NAME makes the pipe if nobody has, waits until a program opens it,
  and records until that closes it. One program of this computer can open it,
  as an administrator. Of a pipe that somebody else has made, it is the
  writer; that one learns who writes, and can do nothing in that name.

It reads the driver's stream, which only administrators may. Any number of
programs can read at once; each gets everything. The driver can't be stopped
meanwhile. A file may exceed --rotate-size by what waited in the driver when
the size was reached.

Exit status:
  0    the recording ended as asked
  1    something failed, or a file was deleted or replaced meanwhile; standard
       error says what, and files end at their last whole block. Without a message: the pipe's reader closed it,
       which the next block that is written shows.
  2    the command line is wrong; nothing was started
  130  a second Ctrl-C ended it while its output was stuck

Examples:
  honeutil read --duration 10
  honeutil read -w web.pcapng --count 1000 -s 96
  honeutil read -d D:\\traffic --rotate-size 1G --max-files 24 --compress
  honeutil read -w - | tshark -l -r -
  start honeutil read -q -w \\\\.\\pipe\\hone
  start \"\" \"C:\\Program Files\\Wireshark\\Wireshark.exe\" -k -i \\\\.\\pipe\\hone
  PowerShell before 7.4 garbles binary data in pipes: use the command prompt.";

/// `get-stats --help`.
pub(crate) const STATS_NOTES: &str = "\
Numbers:
  This program is a reader while it asks: it is counted among the readers.
  A snap length of 0 is unlimited. Connection close events may exceed open
  events: connections that were open before the driver started close, too.
  Drops are counted where they happen: in the queue manager (no memory), in a
  reader's ring buffer (the reader is too slow; other readers lose nothing).

Exit status:
  0  done
  1  the driver does not run, or refuses; standard error says what to do
  2  the command line is wrong

Examples:
  honeutil get-stats
  honeutil get-stats --watch 5
  honeutil get-stats --json";

/// `send-conns --help`.
pub(crate) const CONNS_NOTES: &str = "\
Sends Windows' own list of open connections and their processes to the driver,
which names with it the process of packets that it cannot explain by itself.
You do not need this in normal operation: a driver that starts with the system
sees all connections begin. The installer does it once.

Exit status:
  0  sent
  1  the driver does not run, or refuses; standard error says what to do
  2  the command line is wrong

Examples:
  honeutil send-conns -v
  honeutil send-conns --dry-run -v";

/// `start --help`.
pub(crate) const START_NOTES: &str = "\
As `sc start hone`. The driver starts with the system by itself, unless it was
installed with --on-demand. If it was not running when connections began, send
their list with `honeutil send-conns`.

Exit status:
  0  the driver runs; also if it ran before
  1  it cannot start; standard error says why
  2  the command line is wrong";

/// `stop --help`.
pub(crate) const STOP_NOTES: &str = "\
As `sc stop hone`. The driver does not stop while programs read from it.

Exit status:
  0  the driver has stopped; also if it did not run before
  1  it goes on: readers are attached, or no permission
  2  the command line is wrong";

/// `status --help`.
pub(crate) const STATUS_NOTES: &str = "\
Exit status, as the Linux Standard Base has it:
  0  the driver runs
  2  the command line is wrong
  3  it does not run, or is not installed
  4  not known: no permission, or it is about to start or stop";

/// `install --help`.
pub(crate) const INSTALL_NOTES: &str = "\
Registers System32\\drivers\\hone.sys as the service `hone`, started with the
system, and adds what makes the Windows Filtering Platform call it: a provider,
a sublayer, callouts, and filters, which only inspect. It starts nothing. Can
be run again: it mends and updates.

The driver has to be signed, or the computer be in test-signing mode. One that
starts with the system, and whose signature Windows refuses then, could keep
the computer from starting: install it with --on-demand, start it, and install
it once more without, as the installer does.

Exit status:
  0  installed
  1  something failed; standard error says what
  2  the command line is wrong

Examples:
  honeutil install --dry-run
  honeutil install --driver hone.sys --on-demand
  honeutil start && honeutil install && honeutil send-conns";

/// `uninstall --help`.
pub(crate) const UNINSTALL_NOTES: &str = "\
Stops the driver, and removes its filters, its service with all settings of
that, and System32\\drivers\\hone.sys. Recordings stay.

Exit status:
  0  nothing is left; also if nothing was there
  1  something failed, or readers are attached; standard error says what
  2  the command line is wrong";

/// What `show --help` ends with.
pub(crate) const SHOW_EXAMPLES: &str = "

Examples:
  honeutil show web.pcapng
  honeutil show --name curl.exe --port 443 a.pcapng.zst b.pcapng.zst
  honeutil show --filter \"udp port 53\" web.pcapng
  honeutil show --json web.pcapng > web.json
  honeutil read -w - | honeutil show --host 192.0.2.0/24
  PowerShell before 7.4 garbles binary data in pipes: use the command prompt.";

/// `completions --help`.
pub(crate) const COMPLETIONS_NOTES: &str = "\
Examples:
  honeutil completions powershell >> $PROFILE";
