# Every check that a person or CI runs is a target here. Targets install the
# system packages they need (scripts/deps.sh says which) and do nothing when
# these are there.

# The system packages of the targets that use mounts and scripts.
MOUNT_DEPS = fuse3
TOUR_DEPS  = $(MOUNT_DEPS) rsync attr tree
TEST_DEPS  = $(TOUR_DEPS) python3 jq vim git zip unzip sqlite3 fio
RACE_DEPS  = gcc libc6-dev
BENCH_DEPS = gcc libc6-dev liblmdb-dev

DEPS = scripts/deps.sh
TOOL = go tool -modfile=tools/go.mod

# make fuzz T=30s: how long each fuzz target runs; 5000x is a number of inputs.
T = 30s
# make crash N=50: kills in each of four workloads, and ten times as many images
# of power cuts in each of ten. PONGOFS_CRASH_SEED is the seed, 1 if it is not set.
N = 50
# make space U=10000000: how many updates.
U = 10000000
# make run RUN_DIR=/var/tmp/tour: where the tour keeps its store and mount.
RUN_DIR = run

.PHONY: all build run test check integration race fuzz crash large space bench bench-files \
	fmt lint cover tools install clean

all: build

## build: bin/pongofs. Without libc: one file that runs anywhere, and half the
## memory of a server, most of which would be stacks and arenas of libc
build:
	CGO_ENABLED=0 go build -o bin/pongofs ./cmd/pongofs

## run: a tour on real data; leaves the mount for you to look at
run: build
	@$(DEPS) $(TOUR_DEPS)
	@RUN_DIR="$(RUN_DIR)" scripts/tour.sh

## test: every test, mounts included; nothing stays mounted
test:
	@$(DEPS) $(TEST_DEPS)
	go test -tags invariants -shuffle=on -timeout 20m ./...

## check: all of CI in order; run it before a commit
check: lint test race

## integration: only the tests on real mounts, with their names
integration:
	@$(DEPS) $(TEST_DEPS)
	go test -tags invariants -count=1 -v -timeout 20m ./integration

## large: the round trip of the largest document through rsync, 75 000 files, and
## directories of 100 000 that are listed while they change
large:
	@$(DEPS) $(TEST_DEPS)
	PONGOFS_LARGE=1 go test -tags invariants -count=1 -v -timeout 30m -run TestRsyncRoundTrip/event100 ./integration
	PONGOFS_LARGE=1 go test -tags invariants -count=1 -v -timeout 30m -run TestListWhileChanging ./fsnode

## race: the race detector; packages that need real mounts are left out
race:
	@$(DEPS) $(RACE_DEPS)
	CGO_ENABLED=1 go test -race -tags invariants -timeout 30m $$(go list ./... | grep -v /integration)

## fuzz: each fuzz target in turn
fuzz:
	@scripts/fuzz.sh $(T)

## crash: 4 N times kill -9 and look, 60 N images of power cuts
crash:
	@$(DEPS) $(TEST_DEPS)
	@scripts/crash.sh $(N)

## space: U updates of a thousand keys beside an open handle; the file keeps its size
space:
	PONGOFS_UPDATES=$(U) go test -count=1 -v -timeout 30m -run KeepTheFileSmall ./engine

## bench: the engine beside bbolt and LMDB, interleaved, as ratios
bench:
	@$(DEPS) $(BENCH_DEPS)
	cd bench && go run . $(BENCH)

## bench-files: 100 000 files in one directory of a mount
bench-files: build
	@$(DEPS) $(MOUNT_DEPS)
	go test -count=1 -run '^$$' -bench ManyFiles -benchtime 1x -timeout 30m ./integration

## hostile: flip a bit of a store and look, M times (50 ms each)
M = 20000
.PHONY: hostile
hostile:
	PONGOFS_HOSTILE=$(M) go test -tags invariants -count=1 -timeout 2h -run 'Flips|Forged' ./engine/...

## fmt: rewrite the sources as gofumpt likes them
fmt:
	$(TOOL) gofumpt -w .

## lint: formatting, vet, staticcheck
lint:
	@unformatted=$$($(TOOL) gofumpt -l .); \
	if [ -n "$$unformatted" ]; then echo "not formatted, run make fmt:"; echo "$$unformatted"; exit 1; fi
	go vet -tags invariants ./...
	$(TOOL) staticcheck -checks all -tags invariants ./...

## cover: coverage of all packages by all tests
cover:
	@$(DEPS) $(TEST_DEPS)
	go test -tags invariants -coverpkg=./... -coverprofile=cover.out ./...
	go tool cover -func=cover.out | tail -n 1

## tools: build the pinned tools once, so that lint is quick afterwards
tools:
	$(TOOL) gofumpt -version
	$(TOOL) staticcheck -version

## install: bin/pongofs into PREFIX/bin
PREFIX = /usr/local
install: build
	install -D -m 0755 bin/pongofs $(DESTDIR)$(PREFIX)/bin/pongofs

## clean: remove what the targets above made, and unmount the tour
clean:
	@scripts/tour.sh clean
	rm -rf bin cover.out
