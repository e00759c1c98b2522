package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// The test binary stands in for nave-kube, since a cluster runs its own program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains(startOrder, os.Args[1]) {
		main()
	}
	os.Exit(m.Run())
}

func TestReservationsNeverMeet(t *testing.T) {
	taken := map[int]bool{}
	for range 50 {
		reserved, err := reservePorts()
		if err != nil {
			t.Fatal(err)
		}
		defer reserved.release()
		for _, port := range []int{reserved.etcd, reserved.apiserver} {
			if taken[port] {
				t.Fatalf("port %d was given twice", port)
			}
			taken[port] = true
		}
	}
}

// Only a port that is recognized as taken makes a start begin again, and it is
// recognized by the words of each component.
func TestTakenPortIsRecognized(t *testing.T) {
	for name, port := range map[string]func(*ports) int{
		"etcd":           func(p *ports) int { return p.etcd },
		"kube-apiserver": func(p *ports) int { return p.apiserver },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cluster")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			c, err := newCluster(options{dir: dir, name: "test"})
			if err != nil {
				t.Fatal(err)
			}
			defer c.stopAll()
			// Whoever it is, it never answers.
			listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port(c.ports)))
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			var taken *portTakenError
			if err := c.startAll(ctx); !errors.As(err, &taken) || taken.component != name {
				t.Fatalf("want the port of %s taken, got: %v", name, err)
			}
		})
	}
}
