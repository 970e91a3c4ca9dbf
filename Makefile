# The commands of daily work. `make` alone lists them.

SWIFT ?= swift
PREFIX ?= /usr/local
# Seconds for each fuzz target.
TIME ?= 60
# Executions of each fuzz target, instead of a time; fuzz targets that run at the same time.
RUNS ?=
JOBS ?= 1
# Arguments of the benchmarks: BENCH="--events 500000 --rounds 3".
BENCH ?=
# Arguments of the benchmarks of single operations: OPERATIONS="--filter append.*".
OPERATIONS ?=
# Arguments of the soak: SOAK="--minutes 2".
SOAK ?=
# Arguments of the plots of growth and latency: GROWTH="--events-max 100000000", LATENCY="--minutes 1".
GROWTH ?=
LATENCY ?=
# How often a writer is killed: the command, or a process that uses the library; and how often, once more, a recorder: half of that.
KILLS ?= 500
# Arguments of the test run: TEST="--filter VarveTests".
TEST ?=
# The checks and syncs to leave out, one at a time; all of them where empty.
ORACLE ?=
# Files of which coverage lists the lines that no test reaches: LINES=VarveFormat.
LINES ?=

SOURCES = Package.swift Sources Tests Benchmarks/Package.swift Benchmarks/Sources Benchmarks/Benchmarks Fuzz/Package.swift Fuzz/Sources

.PHONY: help demo build test lint format bench bench-operations growth latency soak fuzz vectors check-formats asan tsan crash torture oracle coverage docs install setup clean

help:
	@echo "make demo           record something of this machine, and query it"
	@echo "make test           run all tests (TEST=\"--filter VarveTests\")"
	@echo "make build          build the command: .build/release/varve"
	@echo "make install        install it (PREFIX=$(PREFIX))"
	@echo "make lint           check the formatting; make format corrects it"
	@echo "make bench          measure beside the machine's limits and other stores, then growth and latency: 50 minutes (BENCH=\"--events 500000 --rounds 3\")"
	@echo "make bench-operations  measure single operations of the library: time, CPU, memory (OPERATIONS=\"--filter append.*\")"
	@echo "make growth         measure up to a billion simulated events, with a plot (GROWTH=\"--events-max 100000000\")"
	@echo "make latency        measure every append for ten minutes beside compaction, with a plot (LATENCY=\"--minutes 1\")"
	@echo "make soak           record for ten minutes within 256 MB beside readers and compaction (SOAK=\"--minutes 2\")"
	@echo "make fuzz           fuzz decoders, import and whole stores, TIME=60 seconds or RUNS=20000000 executions each (JOBS=2 at a time)"
	@echo "make check-formats  read all golden vectors with the independent reader in Python"
	@echo "make vectors        write the golden vectors again, after a change of the format"
	@echo "make asan, tsan     run the engine's tests under AddressSanitizer, ThreadSanitizer"
	@echo "make crash          the crash suite with KILLS=500 kills of a writer"
	@echo "make oracle         leave checks and syncs out, one at a time: the tests must notice (ORACLE=\"subBlockChecksum dataSync\")"
	@echo "make coverage       which lines the tests reach (LINES=VarveFormat lists those that they do not)"
	@echo "make docs           the library's documentation, with its articles: .build/docs"
	@echo "make torture        crash tests and fuzzing at the sizes of a night, as root; one table of figures"
	@echo "make setup          install LZ4, simdjson and RE2 where they are missing"

setup:
	@scripts/setup.sh

build: setup
	$(SWIFT) build -c release --product varve

demo: build
	@scripts/demo.sh "$(CURDIR)/.build/release/varve"

# One optimised run for everything: the randomised suites take minutes without optimisation. Failures stand once more at the end.
test: setup
	@scripts/failures.sh $(SWIFT) test -c release -Xswiftc -enable-testing $(TEST)

lint:
	$(SWIFT) format lint --strict --parallel --configuration .swift-format --recursive $(SOURCES)

format:
	$(SWIFT) format --in-place --parallel --configuration .swift-format --recursive $(SOURCES)

# Ten minutes with limits and compaction, and the plot of it; the status tells whether the aims were met.
soak: setup
	@SWIFT="$(SWIFT)" scripts/measure.sh soak $(SOAK)

# What stores cost by their size, real ones and simulated ones.
growth: setup
	@SWIFT="$(SWIFT)" scripts/measure.sh growth $(GROWTH)

# The status tells whether an append took longer than 50 ms.
latency: setup
	@SWIFT="$(SWIFT)" scripts/measure.sh latency $(LATENCY)

# Without BENCH growth and latency are measured too, and all tables go to Benchmarks/RESULTS.md, plots to Benchmarks/plots.
bench:
	@scripts/setup.sh --peers
	@SWIFT="$(SWIFT)" scripts/bench.sh $(BENCH)

# Each operation in a process of its own; the status tells whether all of them worked.
bench-operations: setup
	$(SWIFT) package --package-path Benchmarks benchmark --no-progress $(OPERATIONS)

fuzz: setup
	RUNS=$(RUNS) JOBS=$(JOBS) scripts/fuzz.sh $(TIME)

vectors: setup
	VARVE_REGENERATE_VECTORS=1 $(SWIFT) test -c release -Xswiftc -enable-testing --filter Golden
	scripts/store-vectors.sh "$(CURDIR)/.build/release/varve"

check-formats:
	python3 Formats/python/check_vectors.py
	cd Formats/python && python3 -m unittest test_reader

# Scratch directories of their own, so that switching does not build everything again. AddressSanitizer goes without its search
# for leaks: the test runner's own library leaks. ThreadSanitizer goes without optimisation: that inlines the standard library's
# arrays, whose reference counts it does not see, and takes their copying on write for races. Both go without the tests whose
# processes are traced, starved or cut off by the machine: the sanitizers' own runtime is not made for that. What is slow is made
# smaller, or left out of ThreadSanitizer where it is mostly one thread's work; its whole size runs without them.
SANITIZED_SKIP = --skip 'CrashTests\.(SystemCallTests|LimitTests|PowerCutTests)'

asan: setup
	ASAN_OPTIONS=detect_leaks=0 VARVE_CRASH_STATES=500 VARVE_MODEL_OPERATIONS=2400 scripts/failures.sh $(SWIFT) test -c release -Xswiftc -enable-testing --sanitize=address \
		--scratch-path .build/asan --filter 'VarveFormatTests|VarveIOTests|VarveTests|VarveJSONTests|VarveRecorderTests|CrashTests' \
		$(SANITIZED_SKIP)

tsan: setup
	VARVE_MODEL_OPERATIONS=500 scripts/failures.sh $(SWIFT) test --sanitize=thread --scratch-path .build/tsan --filter 'VarveTests|VarveRecorderTests|CrashTests' \
		$(SANITIZED_SKIP) --skip 'PowerLossTests|PowerLossStories|RetentionCrashTests|SimulatedFaultTests|DamageTableTests' \
		--skip 'FilterCrashTests|FilterDamageTests' \
		--skip 'SyncStories/(?!paddingBeforeSuccessor|givenUpSegment)' \
		--skip 'StoreLimitTests/(?!snapshots|lettingGo|spaceAfterAnotherLimit|scarceSpaceUnderASnapshot|checkpointAlone)' \
		--skip 'CompactionRewriteTests|CompactionFaultTests|CompactionPolicyTests|RetainedReadTests'

# Kills writers KILLS times.
crash: setup
	VARVE_KILLS=$(KILLS) $(SWIFT) test -c release -Xswiftc -enable-testing --filter CrashTests

# Sizes: scripts/torture.sh.
torture: setup
	scripts/torture.sh

# The table of what is left out, and of who notices: Tests/Crash/README.md.
oracle: setup
	scripts/oracle.sh $(ORACLE)

coverage: setup
	scripts/coverage.sh $(LINES)

# A static site. Links that lead nowhere are errors.
docs: setup
	SWIFT="$(SWIFT)" scripts/docs.sh

install: build
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -m 755 .build/release/varve "$(DESTDIR)$(PREFIX)/bin/varve"

clean:
	rm -rf .build Benchmarks/.build Fuzz/.build
