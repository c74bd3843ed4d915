module gantry.dev/examples/hello

go 1.26.0
