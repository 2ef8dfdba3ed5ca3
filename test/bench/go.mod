module github.com/pitcrew-dev/pitcrew/test/bench

go 1.26
