// A server of HTTP: GET /hello greets, POST /echo sends back what was sent.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/hello", func(answer http.ResponseWriter, request *http.Request) {
		io.WriteString(answer, "hello from Pith\n")
	})
	http.HandleFunc("/echo", func(answer http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			http.Error(answer, err.Error(), http.StatusBadRequest)
			return
		}
		answer.Write(body)
	})
	fmt.Println(http.ListenAndServe("0.0.0.0:8080", nil))
	os.Exit(1)
}
