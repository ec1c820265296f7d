//! What long helps, and man pages, end with, of commands that differ from system to system.

/// `read --help`.
pub(crate) const READ_NOTES: &str = "\
Signals:
  INT (Ctrl-C), TERM  end the file at a block boundary, print the summary
  HUP                 end the file and begin the next, which stands alone:
                      in DIR it is named by the time; FILE.pcapng is
                      followed by FILE_1.pcapng, FILE_2.pcapng and so on;
                      a pipe gets a new section. When the terminal itself
                      hangs up, the recording ends.

Files:
  If a file is deleted or replaced while it is written, a warning says so
  within a second, and how to save what is in it. It is written on, the next
  file begins when it is due, and the exit status is 1. A file that is moved,
  as logrotate does it, is whole: the summary has its new name. Neither is
  compressed or removed. What was finished before may be taken at any time.

honed:
  If honed runs, its stream is recorded; if not, honeutil loads the sensor
  itself, which takes root. -v says which. If honed is there and refuses,
  nothing is recorded. Through honed, a file may exceed --rotate-size by
  what waited in honed when the size was reached.

Exit status:
  0    the recording ended as asked
  1    something failed, or a file was deleted or replaced meanwhile; standard
       error says what, and files end at their last whole block. Without a
       message: the pipe's reader closed it.
  2    the command line is wrong; nothing was started
  130  a second Ctrl-C ended it while its output was stuck, or honed hung

Examples:
  sudo honeutil read --duration 10
  sudo honeutil read -w web.pcapng --count 1000 -s 96
  sudo honeutil read -d /var/tmp --rotate-size 1G --max-files 24 --compress
  sudo honeutil read -w - | tshark -l -r -";

/// What `get-stats --help` ends with.
pub(crate) const STATS_NOTES: &str = "\
Numbers:
  A snap length of 0 is unlimited. Connection close events may exceed open
  events: connections that were open before honed started close, too.
  Drops are counted where they happen: in the sensor (between kernel and
  honed), in the queue manager (no memory), in a reader's ring buffer (the
  reader is too slow; other readers lose nothing).

Exit status:
  0  done
  1  honed does not run, or refuses; standard error says what to do
  2  the command line is wrong

Examples:
  honeutil get-stats
  honeutil get-stats --watch 5
  honeutil get-stats --json | jq .dropped.sensor.packets";

/// What `send-conns --help` ends with.
pub(crate) const CONNS_NOTES: &str = "\
Reads the sockets of all network namespaces that a process is in, and who
holds them, from /proc, and sends the list to honed, which names with it the
process of packets that it cannot explain by itself. You do not need this in
normal operation: honed reads the open sockets when it starts.

Exit status:
  0  sent
  1  honed does not run, or refuses; standard error says what to do
  2  the command line is wrong

Examples:
  sudo honeutil send-conns -v
  sudo honeutil send-conns --dry-run -v";

/// What `log-level --help` ends with.
pub(crate) const LOG_NOTES: &str = "\
Levels:
  error        0x01  something failed; always logged
  warning      0x02  something is weaker than it should be
  information  0x04  starts, stops, readers that come and go
  verbose      0x08  each request
  lock-status  0x10  who waited for the lock, and for how long
  They hold until honed ends or reads its configuration again (log_level in
  /etc/hone/hone.toml).

Examples:
  honeutil log-level
  honeutil log-level warning,verbose
  honeutil log-level 0x1f";

/// What `ring-size --help` ends with.
pub(crate) const RING_NOTES: &str = "\
Readers that are attached keep their ring buffers. The size holds until honed
ends; ring_buffer_size in /etc/hone/hone.toml is for good.

Examples:
  honeutil ring-size
  honeutil ring-size 4194304";

/// What `start --help` ends with.
pub(crate) const START_NOTES: &str = "\
Where systemd runs, and honed is installed: `systemctl start honed`. Elsewhere
honed is started in the background, with its pid in /run/hone/hone.pid.

Exit status:
  0  honed serves readers; also if it ran before
  1  it cannot start; standard error says why
  2  the command line is wrong";

/// What `stop --help` ends with.
pub(crate) const STOP_NOTES: &str = "\
Readers get the end of their streams, and the last section its statistics.

Exit status:
  0  honed has ended; also if it did not run before
  1  it goes on: readers are attached (see --force), or no permission
  2  the command line is wrong";

/// What `status --help` ends with.
pub(crate) const STATUS_NOTES: &str = "\
Exit status, as the Linux Standard Base has it:
  0  honed runs
  1  it has ended without being stopped: its pid file is still there
  2  the command line is wrong
  3  it does not run
  4  not known: no permission, or it does not answer";

/// What `install --help` ends with.
pub(crate) const INSTALL_NOTES: &str = "\
Puts honed and honeutil into /usr/local/bin, with the configuration
(/etc/hone/hone.toml, never overwritten once changed), the group `hone`,
whose members may read, man pages and completions, for systemd the unit, and
for Wireshark the interface `hone`, which captures through honeutil.
With systemd, honed is started now and whenever the system starts; elsewhere
`honeutil start` starts it. Can be run again: it mends and updates.

The packages for Debian and Fedora do the same; use either.

Exit status:
  0  installed
  1  something failed; standard error says what
  2  the command line is wrong

Examples:
  honeutil install --dry-run
  sudo honeutil install
  sudo usermod -aG hone alice";

/// What `uninstall --help` ends with.
pub(crate) const UNINSTALL_NOTES: &str = "\
Stops honed and removes what `honeutil install` has made, the group and the
log included. Recordings stay.

Exit status:
  0  nothing is left; also if nothing was there
  1  something failed, or readers are attached; standard error says what
  2  the command line is wrong";

/// What `show --help` ends with.
pub(crate) const SHOW_EXAMPLES: &str = "

Examples:
  honeutil show web.pcapng
  honeutil show --name curl --port 443 *.pcapng.zst
  honeutil show --filter 'udp port 53' web.pcapng
  honeutil show --json web.pcapng | jq -r .process.executable
  honeutil read -w - | honeutil show --user alice";

/// `completions --help`.
pub(crate) const COMPLETIONS_NOTES: &str = "\
Examples:
  honeutil completions bash > /etc/bash_completion.d/honeutil
  honeutil completions fish > ~/.config/fish/completions/honeutil.fish";
