// Temporary.
package main

import (
	"context"
	"fmt"
	"os"

	"gantry.dev/services/gantry/internal/local/scratch"
)

func main() {
	img, err := scratch.Image(os.Args[1], "hello")
	fmt.Println(err)
	for _, r := range os.Args[2:] {
		fmt.Println(scratch.Push(context.Background(), img, r))
	}
}
