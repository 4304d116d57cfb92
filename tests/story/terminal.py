"""Runs a program at a terminal of its own: `terminal.py PROGRAM ARGS`, steps on standard input, one per line.

wait TEXT      until the program has printed that since the last step
send TEXT      types it (\\x03 is Ctrl-C)
size R C       changes the size of the terminal
kill SIGNAL    sends it to the program

Prints what the program printed; exits as it does (128 + the number of a signal). The last line of standard error says
whether the settings of the terminal are what they were before.
"""

import fcntl, os, pty, select, signal, struct, sys, termios, time

DEADLINE = time.monotonic() + 30


def resize(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


master, slave = pty.openpty()
resize(master, 41, 83)
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    os.close(master)
    os.close(slave)
    os.execv(sys.argv[1], sys.argv[1:])

printed = b""


def read(within):
    global printed
    ready, _, _ = select.select([master], [], [], within)
    if ready:
        printed += os.read(master, 65536)
    return bool(ready)


since = 0
for step in sys.stdin.read().splitlines():
    verb, _, rest = step.partition(" ")
    if verb == "wait":
        while rest.encode() not in printed[since:]:
            if time.monotonic() > DEADLINE:
                sys.exit(f"not printed: {rest!r}; printed: {printed!r}")
            read(0.1)
        since = len(printed)
    elif verb == "send":
        os.write(master, rest.encode().decode("unicode_escape").encode())
    elif verb == "size":
        resize(master, *map(int, rest.split()))
    elif verb == "kill":
        os.kill(pid, getattr(signal, "SIG" + rest))

while True:
    ended, status = os.waitpid(pid, os.WNOHANG)
    if ended:
        break
    if time.monotonic() > DEADLINE:
        os.kill(pid, signal.SIGKILL)
        sys.exit(f"it does not end; printed: {printed!r}")
    read(0.05)
while read(0.1):
    pass
sys.stdout.write(printed.decode(errors="replace"))
print("restored" if termios.tcgetattr(slave) == before else "not restored", file=sys.stderr)
code = os.waitstatus_to_exitcode(status)
sys.exit(code if code >= 0 else 128 - code)
