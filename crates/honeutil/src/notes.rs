//! What long helps, and man pages, end with. Those of the commands that talk to the service are with their arguments.

/// `honeutil --help`.
pub(crate) const NOTES: &str = "\
Exit status:
  0  done
  1  something failed; standard error says what
  2  the command line is wrong; nothing was started
  `honeutil help COMMAND` says what else a command has.

Environment:
  NO_COLOR  no color in help and in what is wrong with a command line";

/// `read --help`.
pub(crate) const READ_NOTES: &str = "\
Signals:
  INT (Ctrl-C), TERM  end the file at a block boundary, print the summary
  HUP                 end the file and begin the next, which stands alone:
                      in DIR it is named by the time; FILE.pcapng is
                      followed by FILE_1.pcapng, FILE_2.pcapng and so on;
                      a pipe gets a new section. When the terminal itself
                      hangs up, the recording ends.

honed:
  If honed runs, its stream is recorded; if not, honeutil loads the sensor
  itself, which takes root. -v says which. If honed is there and refuses,
  nothing is recorded. Through honed, a file may exceed --rotate-size by
  what waited in honed when the size was reached.

Exit status:
  0    the recording ended as asked
  1    something failed; standard error says what, and files end at their
       last whole block. Without a message: the pipe's reader closed it.
  2    the command line is wrong; nothing was started
  130  a second Ctrl-C ended it while its output was stuck

Examples:
  sudo honeutil read --duration 10
  sudo honeutil read -w web.pcapng --count 1000 -s 96
  sudo honeutil read -d /var/tmp --rotate-size 1G --max-files 24 --compress
  sudo honeutil read -w - | tshark -l -r -";

/// `completions --help`.
pub(crate) const COMPLETIONS_NOTES: &str = "\
Examples:
  honeutil completions bash > /etc/bash_completion.d/honeutil
  honeutil completions fish > ~/.config/fish/completions/honeutil.fish";

/// `show --help`.
pub(crate) const SHOW_NOTES: &str = "\
Lines:
  TIME KIND PID USER NAME, then what the kind has; - where nothing is known.
  HEAD  a section begins: host, application, operating system
  EXEC  a process runs a program, or was found running
  FORK  a process was forked; it runs its parent's program
  KTHR  a thread of the kernel
  EXIT  a process ended
  SOCK  a connection was opened or closed
  PAKT  a packet: direction, protocol, source > destination, length
  STAT  what the section received and dropped
  Bytes that do not print, blanks included, are shown as \\x1b or \\u{202e}.

Filters:
  Different options must all be met, of one option given again any. An event
  that has nothing to compare is not shown: a process event has no port.

Exit status:
  0    everything was shown
  1    something could not be read to its end; standard error says what, where
       and why, and what came before it was shown. Without a message: the
       pipe's reader closed it.
  2    the command line is wrong
  130  a second Ctrl-C; the first one, while a pipe is read, lets its writer
       end the stream

Examples:
  honeutil show web.pcapng
  honeutil show --name curl --port 443 *.pcapng.zst
  honeutil show --filter 'udp port 53' web.pcapng
  honeutil show --json web.pcapng | jq -r .process.executable
  sudo honeutil read -w - | honeutil show --user alice";
