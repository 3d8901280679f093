package main

/*
#cgo LDFLAGS: -llmdb
#include <lmdb.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// Each operation is one transaction and one call from Go, so that LMDB does
// not pay for the border between the languages more than once.

static int bench_open(const char *dir, int sync, MDB_env **env, MDB_dbi *entries, MDB_dbi *list) {
	MDB_txn *txn;
	int rc;
	if ((rc = mdb_env_create(env))) return rc;
	if ((rc = mdb_env_set_mapsize(*env, (size_t)4 << 30))) return rc;
	if ((rc = mdb_env_set_maxdbs(*env, 2))) return rc;
	if ((rc = mdb_env_open(*env, dir, (sync ? 0 : MDB_NOSYNC) | MDB_NOTLS, 0600))) return rc;
	if ((rc = mdb_txn_begin(*env, NULL, 0, &txn))) return rc;
	if ((rc = mdb_dbi_open(txn, "entries", MDB_CREATE, entries)) ||
	    (rc = mdb_dbi_open(txn, "list", MDB_CREATE, list))) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn);
}

static int bench_put(MDB_env *env, MDB_dbi dbi, const char *k, size_t klen, const char *v, size_t vlen) {
	MDB_val key = {klen, (void *)k}, val = {vlen, (void *)v};
	MDB_txn *txn;
	int rc;
	if ((rc = mdb_txn_begin(env, NULL, 0, &txn))) return rc;
	if ((rc = mdb_put(txn, dbi, &key, &val, 0))) { mdb_txn_abort(txn); return rc; }
	return mdb_txn_commit(txn);
}

// bench_batch puts the n keys that stand one behind the other in k.
static int bench_batch(MDB_env *env, MDB_dbi dbi, const char *k, size_t klen, size_t n, const char *v, size_t vlen) {
	MDB_txn *txn;
	size_t i;
	int rc;
	if ((rc = mdb_txn_begin(env, NULL, 0, &txn))) return rc;
	for (i = 0; i < n; i++) {
		MDB_val key = {klen, (void *)(k + i * klen)}, val = {vlen, (void *)v};
		if ((rc = mdb_put(txn, dbi, &key, &val, 0))) { mdb_txn_abort(txn); return rc; }
	}
	return mdb_txn_commit(txn);
}

static int bench_del(MDB_env *env, MDB_dbi dbi, const char *k, size_t klen) {
	MDB_val key = {klen, (void *)k};
	MDB_txn *txn;
	int rc;
	if ((rc = mdb_txn_begin(env, NULL, 0, &txn))) return rc;
	if ((rc = mdb_del(txn, dbi, &key, NULL))) { mdb_txn_abort(txn); return rc; }
	return mdb_txn_commit(txn);
}

// bench_get copies the value to out, which has room for *len bytes.
static int bench_get(MDB_env *env, MDB_dbi dbi, const char *k, size_t klen, char *out, size_t *len) {
	MDB_val key = {klen, (void *)k}, val;
	MDB_txn *txn;
	int rc;
	if ((rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn))) return rc;
	if (!(rc = mdb_get(txn, dbi, &key, &val))) {
		if (val.mv_size < *len) *len = val.mv_size;
		memcpy(out, val.mv_data, *len);
	}
	mdb_txn_abort(txn);
	return rc;
}

// bench_push stores the value under the next number, big-endian.
static int bench_push(MDB_env *env, MDB_dbi dbi, const char *v, size_t vlen) {
	MDB_val key, val;
	MDB_cursor *cursor;
	MDB_txn *txn;
	uint64_t next = 0, big;
	int rc;
	if ((rc = mdb_txn_begin(env, NULL, 0, &txn))) return rc;
	if ((rc = mdb_cursor_open(txn, dbi, &cursor))) { mdb_txn_abort(txn); return rc; }
	rc = mdb_cursor_get(cursor, &key, &val, MDB_LAST);
	if (rc == 0) {
		memcpy(&big, key.mv_data, sizeof big);
		next = __builtin_bswap64(big) + 1;
	}
	if (rc == 0 || rc == MDB_NOTFOUND) {
		big = __builtin_bswap64(next);
		key.mv_size = sizeof big; key.mv_data = &big;
		val.mv_size = vlen; val.mv_data = (void *)v;
		rc = mdb_cursor_put(cursor, &key, &val, MDB_APPEND);
	}
	mdb_cursor_close(cursor);
	if (rc) { mdb_txn_abort(txn); return rc; }
	return mdb_txn_commit(txn);
}

static const char *bench_data(_GoString_ s) { return _GoStringPtr(s); }
static size_t bench_len(_GoString_ s) { return _GoStringLen(s); }
*/
import "C"

import (
	"errors"
	"strings"
	"unsafe"
)

// lightning is an LMDB environment with two databases.
type lightning struct {
	env     *C.MDB_env
	entries C.MDB_dbi
	list    C.MDB_dbi
}

func openLMDB(dir string, o options) (peer, error) {
	path := C.CString(dir)
	defer C.free(unsafe.Pointer(path))
	sync := C.int(0)
	if o.sync {
		sync = 1
	}
	l := &lightning{}
	return l, mdbError(C.bench_open(path, sync, &l.env, &l.entries, &l.list))
}

func mdbError(code C.int) error {
	if code == 0 {
		return nil
	}
	return errors.New(C.GoString(C.mdb_strerror(code)))
}

func (l *lightning) put(key, text string) error {
	return mdbError(C.bench_put(l.env, l.entries, C.bench_data(key), C.bench_len(key), C.bench_data(text), C.bench_len(text)))
}

func (l *lightning) batch(keys []string, text string) error {
	all := strings.Join(keys, "") // they are equally long
	return mdbError(C.bench_batch(l.env, l.entries, C.bench_data(all), C.bench_len(keys[0]), C.size_t(len(keys)),
		C.bench_data(text), C.bench_len(text)))
}

func (l *lightning) get(key string) (string, error) {
	var buf [64]byte
	n := C.size_t(len(buf))
	err := mdbError(C.bench_get(l.env, l.entries, C.bench_data(key), C.bench_len(key), (*C.char)(unsafe.Pointer(&buf[0])), &n))
	return string(buf[:n]), err
}

func (l *lightning) del(key string) error {
	return mdbError(C.bench_del(l.env, l.entries, C.bench_data(key), C.bench_len(key)))
}

func (l *lightning) push(text string) error {
	return mdbError(C.bench_push(l.env, l.list, C.bench_data(text), C.bench_len(text)))
}

func (l *lightning) close() error {
	C.mdb_env_close(l.env)
	return nil
}
