module github.com/pitcrew-dev/pitcrew/test/bench

go 1.26.8

require github.com/pitcrew-dev/pitcrew v0.0.0

replace github.com/pitcrew-dev/pitcrew => ../..
