// Several things that a runtime does, one after the other; what is printed depends on nothing but the program.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

func steps(from, to int) (steps int) {
	for start := from; start < to; start++ {
		for value := start; value != 1; steps++ {
			if value%2 == 0 {
				value /= 2
			} else {
				value = 3*value + 1
			}
		}
	}
	return
}

type node struct{ value int }

// Has the runtime make a panic of SIGSEGV.
func follow(pointer *node) (value int, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = reason.(error)
		}
	}()
	return pointer.value, nil
}

func main() {
	fmt.Println("hello from Go")
	var group sync.WaitGroup
	results := make([]int, 4)
	for index := range results {
		group.Add(1)
		go func(index int) {
			defer group.Done()
			results[index] = steps(index*50000+1, (index+1)*50000)
		}(index)
	}
	group.Wait()
	fmt.Println(results)

	begin := time.Now()
	inTime := make(chan bool, 3)
	for _, wanted := range []time.Duration{60, 20, 40} {
		wanted := wanted * time.Millisecond
		time.AfterFunc(wanted, func() { inTime <- time.Since(begin) >= wanted })
	}
	fmt.Println(<-inTime, <-inTime, <-inTime)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	http.HandleFunc("/page", func(writer http.ResponseWriter, request *http.Request) {
		fmt.Fprintf(writer, "you asked for %s", request.URL.Path)
	})
	go http.Serve(listener, nil)
	for _, path := range []string{"/page", "/other"} {
		answer, err := http.Get("http://" + listener.Addr().String() + path)
		if err != nil {
			panic(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		fmt.Printf("%d %q\n", answer.StatusCode, body)
	}

	caught := 0
	for turn := 0; turn < 1000; turn++ {
		if _, err := follow(nil); err != nil {
			caught++
		}
	}
	_, err = follow(nil)
	fmt.Println(caught, err)
}
