package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"
)

func sum(n int) (s int) { for i := 0; i < n; i++ { s += i % 7 }; return }

func main() {
	var wg sync.WaitGroup
	c := make(chan int, 8)
	for g := 0; g < 16; g++ { wg.Add(1); go func() { defer wg.Done(); c <- sum(200000) }() }
	go func() { wg.Wait(); close(c) }()
	t := 0
	for v := range c { t += v }
	fmt.Println("total", t)
	var keep [][]byte
	for i := 0; i < 2000; i++ { b := make([]byte, 4096); b[0] = byte(i); if i%100 == 0 { keep = append(keep, b) } }
	runtime.GC()
	fmt.Println("kept", len(keep))
	start := time.Now()
	time.Sleep(20 * time.Millisecond)
	fmt.Println("slept", time.Since(start) >= 20*time.Millisecond)
	tick := time.NewTicker(5 * time.Millisecond)
	for i := 0; i < 3; i++ { <-tick.C }
	s := make(chan os.Signal, 1)
	signal.Notify(s, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println(<-s)
	func() { defer func() { fmt.Println("recovered:", recover()) }(); var p *int; *p = 1 }()
	fmt.Println("cpus", runtime.NumCPU() > 0)
}
