module gantry.dev/test

go 1.26.0
