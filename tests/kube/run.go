package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// startAttempts bounds how often a cluster is begun anew on other ports.
const startAttempts = 5

// options is what was asked for on the command line.
type options struct {
	dir    string
	name   string
	region string
	nodes  int
	kwok   string
	stages string
	// timeout is for the whole start, all attempts together.
	timeout time.Duration
}

// run starts one cluster, says so on stdout, serves the commands on stdin, and
// stops the cluster when stdin ends or a signal asks for it.
func run() int {
	opts, err := parseOptions(os.Args[1:])
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return fail(err)
	}
	lock, err := lockDir(opts.dir)
	if err != nil {
		return fail(err)
	}
	defer lock.Close()

	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	// From the start, so that a caller who goes away while we start is noticed.
	commands := readCommands(cancel)

	begun := time.Now()
	cluster, err := startCluster(ctx, opts)
	if err != nil {
		if ctx.Err() != nil {
			return 0 // asked to stop while starting
		}
		return fail(err)
	}
	defer cluster.stopAll()
	say(struct {
		Ready      bool           `json:"ready"`
		Kubeconfig string         `json:"kubeconfig"`
		Server     string         `json:"server"`
		StartedMs  int64          `json:"started_ms"`
		Pids       map[string]int `json:"pids"`
	}{true, cluster.kubeconfig(), cluster.server(), time.Since(begun).Milliseconds(), cluster.pids()})

	serveCommands(ctx, commands, cluster)
	return 0
}

func parseOptions(args []string) (options, error) {
	var opts options
	flags := flag.NewFlagSet("nave-kube run", flag.ContinueOnError)
	flags.StringVar(&opts.dir, "dir", "", "folder of this cluster: data, certificates, logs and kubeconfig (required)")
	flags.StringVar(&opts.name, "name", "", "name of the cluster and of the context in its kubeconfig (default: the folder's name)")
	flags.StringVar(&opts.region, "region", "region-1", "topology region of the nodes; their zones are REGION-a, -b and -c in turn")
	flags.IntVar(&opts.nodes, "nodes", 3, "number of nodes")
	flags.StringVar(&opts.kwok, "kwok", "", "the kwok program (default: beside this one)")
	flags.StringVar(&opts.stages, "stages", "", "the stages for kwok (default: stages.yaml beside this program)")
	flags.DurationVar(&opts.timeout, "timeout", 3*time.Minute, "time allowed until ready")
	if err := flags.Parse(args); err != nil {
		return opts, err
	}
	if opts.dir == "" || flags.NArg() > 0 {
		return opts, errors.New("usage: nave-kube run --dir DIR [flags]; --help lists them")
	}
	self, err := os.Executable()
	if err != nil {
		return opts, err
	}
	if opts.kwok == "" {
		opts.kwok = filepath.Join(filepath.Dir(self), "kwok")
	}
	if opts.stages == "" {
		opts.stages = filepath.Join(filepath.Dir(self), "stages.yaml")
	}
	// The children run elsewhere, so no path may be relative.
	for _, path := range []*string{&opts.dir, &opts.kwok, &opts.stages} {
		if *path, err = filepath.Abs(*path); err != nil {
			return opts, err
		}
	}
	for _, path := range []string{opts.kwok, opts.stages} {
		if _, err := os.Stat(path); err != nil {
			return opts, err
		}
	}
	if opts.name == "" {
		opts.name = filepath.Base(opts.dir)
	}
	return opts, nil
}

// lockDir makes the folder and takes it for this process. The lock goes with
// the process however it ends, so it also tells others whether it still runs.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s is in use by another nave-kube", dir)
	}
	if err := file.Truncate(0); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(file, "%d\n", os.Getpid()); err != nil {
		return nil, err
	}
	return file, nil
}

// startCluster begins again on other ports as often as a port was taken
// between our look at it and its use.
func startCluster(ctx context.Context, opts options) (*cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, opts.timeout)
	defer cancel()
	var taken *portTakenError
	for attempt := 1; ; attempt++ {
		cluster, err := newCluster(opts)
		if err != nil {
			return nil, err
		}
		if err = cluster.startAll(ctx); err == nil {
			return cluster, nil
		}
		cluster.stopAll()
		if !errors.As(err, &taken) || attempt == startAttempts {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "nave-kube: %v; trying other ports\n", err)
	}
}

func fail(err error) int {
	fmt.Fprintf(os.Stderr, "nave-kube: %v\n", err)
	return 1
}
