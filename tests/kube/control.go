package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// commandTimeout is for one command, so that a component which never becomes
// ready cannot keep the next command waiting for ever.
const commandTimeout = 90 * time.Second

// answer is the one line that each command gets.
type answer struct {
	OK        bool   `json:"ok"`
	Command   string `json:"command"`
	Component string `json:"component,omitempty"`
	Pid       int    `json:"pid,omitempty"`
	Error     string `json:"error,omitempty"`
}

// say writes one JSON line on stdout, which carries nothing else.
func say(line any) {
	encoded, err := json.Marshal(line)
	if err != nil {
		panic(err) // only our own plain structs come here
	}
	fmt.Println(string(encoded))
}

// readCommands reads stdin by lines; its end is the caller's wish that we stop.
func readCommands(ended func()) <-chan string {
	lines := make(chan string)
	go func() {
		defer ended()
		scanner := bufio.NewScanner(os.Stdin)
		for scanner.Scan() {
			if line := strings.TrimSpace(scanner.Text()); line != "" {
				lines <- line
			}
		}
	}()
	return lines
}

func serveCommands(ctx context.Context, lines <-chan string, cluster *cluster) {
	for {
		select {
		case <-ctx.Done():
			return
		case line := <-lines:
			say(obey(ctx, line, cluster))
		}
	}
}

// obey carries out one line: a verb and the name of a component.
func obey(ctx context.Context, line string, cluster *cluster) answer {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	verb, name, _ := strings.Cut(line, " ")
	reply := answer{Command: verb, Component: name}
	var err error
	switch verb {
	case "start":
		err = cluster.start(ctx, name)
	case "stop":
		err = cluster.stop(name)
	case "kill":
		err = cluster.kill(name)
	case "restart":
		if err = cluster.kill(name); err == nil {
			err = cluster.start(ctx, name)
		}
	default:
		err = fmt.Errorf("unknown command %q; known are start, stop, kill and restart, each with a component", verb)
	}
	if err != nil {
		reply.Error = err.Error()
		return reply
	}
	reply.OK = true
	reply.Pid = cluster.pids()[name]
	return reply
}
