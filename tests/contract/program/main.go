// A small program in MinIO's place: it says of itself what it was built to say, and as a service answers as S3 does to a stranger.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
)

var said string

func main() {
	if len(os.Args) > 1 && os.Args[1] == "--version" {
		fmt.Println(said)
		return
	}
	if cause := os.Getenv("MINIO_FATAL"); cause != "" {
		fmt.Println("FATAL:", cause)
		os.Exit(1)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("MINIO_PORT"))
	if err != nil {
		fmt.Println("FATAL:", err)
		os.Exit(1)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			os.Exit(1)
		}
		for lines := bufio.NewScanner(conn); lines.Scan() && strings.TrimSpace(lines.Text()) != ""; {
		}
		fmt.Fprint(conn, "HTTP/1.0 403 Forbidden\r\n\r\n")
		conn.Close()
	}
}
