package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Ports come from below the range that the kernel hands out for outgoing
// connections (32768 and up by default): from there one could be lost to any
// client while a component is down for a restart.
const (
	firstPort = 20000
	lastPort  = 31999
)

// ports are reserved among all nave-kube processes of this user until they are
// released or the process is gone, also while nothing listens on them. Other
// programs know nothing of it, hence the retries in startCluster.
type ports struct {
	etcd      int
	apiserver int
	locks     *os.File
}

// reservePorts locks one byte of a shared file for each port. These locks
// belong to the open file, so the kernel drops them however we end.
func reservePorts() (*ports, error) {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("nave-kube-ports-%d", os.Getuid()))
	locks, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	reserved := &ports{locks: locks}
	// Each looks from another place on, so that they seldom meet.
	offset := rand.IntN(lastPort - firstPort)
	for _, port := range []*int{&reserved.etcd, &reserved.apiserver} {
		*port, offset, err = reservePort(locks, offset)
		if err != nil {
			locks.Close()
			return nil, err
		}
	}
	return reserved, nil
}

// reservePort takes the next free port from offset on and returns the offset
// behind it.
func reservePort(locks *os.File, offset int) (port, next int, err error) {
	const count = lastPort - firstPort
	for range count {
		port = firstPort + offset%count
		offset++
		lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: 0, Start: int64(port), Len: 1}
		if unix.FcntlFlock(locks.Fd(), unix.F_OFD_SETLK, &lock) != nil {
			continue // another nave-kube has it
		}
		listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue // another program has it
		}
		listener.Close()
		return port, offset, nil
	}
	return 0, 0, fmt.Errorf("no free port on 127.0.0.1 between %d and %d", firstPort, lastPort)
}

func (p *ports) release() { p.locks.Close() }
