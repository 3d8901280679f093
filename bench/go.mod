module pongofs/bench

go 1.26.0

require (
	github.com/tidwall/btree v1.8.2
	go.etcd.io/bbolt v1.5.0
	pongofs v0.0.0
)

require (
	github.com/google/uuid v1.6.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace pongofs => ../
