package main

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// How long a component may take to end by itself. The API server and etcd use
// up what they get while a client holds a watch. When all ends, the data has no
// reader any more, and tests should not wait.
const (
	stopGrace     = 5 * time.Second
	teardownGrace = time.Second
)

// process is one running component. A nil process is one that never ran.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed once the process is gone
}

// startProcess runs a program with its output in a log file. The program dies
// with us, even if we are killed with no chance to say so.
func startProcess(program string, args []string, dir, log string) (*process, error) {
	output, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	// Nothing of the caller's environment or home: etcd takes ETCD_* as flags,
	// and kwok reads and writes below HOME.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(), "HOME=" + dir}
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{
		// A ^C in a terminal goes to the whole group; only we are to act on it.
		Setpgid:   true,
		Pdeathsig: syscall.SIGKILL,
	}
	p := &process{cmd: cmd, log: log, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The signal comes at the end of the thread that started the child, not
		// of the process, so this thread has to last as long as the child. It
		// is not unlocked: it ends with the goroutine.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
			close(p.done)
		}
	}()
	return p, <-started
}

func (p *process) running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop asks, waits, and then insists.
func (p *process) stop(grace time.Duration) {
	if !p.running() {
		return
	}
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
		p.kill()
	}
}

func (p *process) kill() {
	if !p.running() {
		return
	}
	p.signal(syscall.SIGKILL)
	<-p.done
}

func (p *process) signal(signal syscall.Signal) {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		panic(err) // our own child: nothing else can be wrong
	}
}
