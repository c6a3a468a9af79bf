// The usual echo server on Go's net package: one process, one goroutine and one buffer per
// connection. The runtime distributes the goroutines over the cores,
// sets TCP_NODELAY and raises the descriptor limit by itself.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

const (
	bufferBytes = 4096
	// The wait for a free descriptor before the next attempt to accept.
	acceptPause = 10 * time.Millisecond
)

func echo(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, bufferBytes)
	for {
		size, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if _, err := conn.Write(buffer[:size]); err != nil {
			return
		}
	}
}

func exitOnSignal() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	<-signals
	os.Exit(0)
}

func main() {
	log.SetFlags(0)
	host := flag.String("host", "", "address to listen on; every address of both families if empty")
	port := flag.Int("port", 0, "port to listen on")
	flag.Parse()
	if *port < 1 || *port > 65535 {
		log.Fatalf("-port %d: a whole number from 1 to 65535 is needed", *port)
	}

	// Go would send keepalive probes every 15 seconds. The other servers send none, and an idle
	// connection must cost the same packets in all of them.
	config := net.ListenConfig{KeepAlive: -1}
	address := net.JoinHostPort(*host, strconv.Itoa(*port))
	listener, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	go exitOnSignal()
	fmt.Printf("ready %d\n", os.Getpid())

	for {
		conn, err := listener.Accept()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			time.Sleep(acceptPause)
			continue
		}
		if err != nil {
			log.Fatal(err)
		}
		go echo(conn)
	}
}
