package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"pongofs/engine"
	"pongofs/engine/value"
)

// openExample makes an empty store in a directory of its own and opens it. The
// function it returns closes and removes both.
func openExample() (*engine.Store, func()) {
	dir, err := os.MkdirTemp("", "pongofs-example")
	if err != nil {
		log.Fatal(err)
	}
	path := filepath.Join(dir, "example.pongo")
	if err := engine.Create(path, engine.CreateOptions{}); err != nil {
		log.Fatal(err)
	}
	s, err := engine.Open(path, engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	return s, func() {
		if err := errors.Join(s.Close(), os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}
}

// A store is created once and may then be open in any number of processes. What
// an Update stores is there when the store is opened again.
func Example() {
	dir, err := os.MkdirTemp("", "pongofs-example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "greetings.pongo")
	if err := engine.Create(path, engine.CreateOptions{}); err != nil {
		log.Fatal(err)
	}

	s, err := engine.Open(path, engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	err = s.Update(func(tx *engine.Tx) error {
		return tx.Root().Set("hello", "world")
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Close(); err != nil { // makes durable, too
		log.Fatal(err)
	}

	s, err = engine.Open(path, engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	err = s.View(func(tx *engine.Tx) error {
		v, err := tx.Root().Get("hello")
		fmt.Println(v)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: "world"
}

// Values are typed: what is stored as an int comes back as an int.
func ExampleCollection_Get() {
	s, done := openExample()
	defer done()

	err := s.Update(func(tx *engine.Tx) error {
		root := tx.Root()
		if err := root.Set("answer", 42); err != nil {
			return err
		}
		v, err := root.Get("answer") // an Update sees its own changes
		if err != nil {
			return err
		}
		fmt.Println(v.Kind(), v.AsInt())

		_, err = root.Get("question")
		fmt.Println(errors.Is(err, engine.ErrNotFound), err)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// int 42
	// true key "question": not found
}

// Go maps and slices become dicts and lists, nested as deep as they are. Paths
// lead to what is inside.
func ExampleCollection_SetPath() {
	s, done := openExample()
	defer done()

	err := s.Update(func(tx *engine.Tx) error {
		root := tx.Root()
		if err := root.Set("ada", map[string]any{
			"born": 1815,
			"tags": []string{"math", "poetry"},
		}); err != nil {
			return err
		}
		if err := root.SetPath("ada/tags/-1", "code"); err != nil {
			return err
		}
		v, err := root.GetPath("ada/tags/1")
		if err != nil {
			return err
		}
		fmt.Println(v)

		e, err := root.Entry("ada")
		if err != nil {
			return err
		}
		doc, err := tx.Document(&e)
		if err != nil {
			return err
		}
		all, err := engine.ToGo(doc)
		fmt.Println(all)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// "code"
	// map[born:1815 tags:[math code]]
}

// Lists have the operations that lists have elsewhere.
func ExampleList() {
	s, done := openExample()
	defer done()

	err := s.Update(func(tx *engine.Tx) error {
		l, err := tx.Root().NewList("queue")
		if err != nil {
			return err
		}
		if err := errors.Join(
			l.Extend([]any{"a", "b", "c"}),
			l.Append("d"),
			l.Insert(0, "first"),
			l.Set(-1, "last"),
			l.Delete(1),
			l.Remove("b"),
		); err != nil {
			return err
		}
		popped, err := l.Pop(0)
		if err != nil {
			return err
		}
		v, err := popped.Scalar()
		if err != nil {
			return err
		}
		fmt.Println("popped", v)
		for e, err := range l.All() {
			if err != nil {
				return err
			}
			v, err := tx.Value(&e)
			if err != nil {
				return err
			}
			fmt.Println(e.Key, v)
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// popped "first"
	// 0 "c"
	// 1 "last"
}

// An Update changes any number of keys and containers in one step: others see
// all of it or nothing. Returning an error drops all of it.
func ExampleStore_Update() {
	s, done := openExample()
	defer done()

	err := s.Update(func(tx *engine.Tx) error {
		return tx.Root().Set("accounts", map[string]any{"ann": 100, "bob": 5})
	})
	if err != nil {
		log.Fatal(err)
	}

	errPoor := errors.New("not enough money")
	transfer := func(from, to string, amount int64) error {
		return s.Update(func(tx *engine.Tx) error {
			accounts, err := tx.Root().Dict("accounts")
			if err != nil {
				return err
			}
			a, err := accounts.Get(from)
			if err != nil {
				return err
			}
			b, err := accounts.Get(to)
			if err != nil {
				return err
			}
			if err := accounts.Set(to, b.AsInt()+amount); err != nil {
				return err
			}
			if a.AsInt() < amount {
				return errPoor
			}
			return accounts.Set(from, a.AsInt()-amount)
		})
	}
	fmt.Println(transfer("ann", "bob", 30))
	fmt.Println(transfer("bob", "ann", 1000))

	err = s.View(func(tx *engine.Tx) error {
		for _, name := range []string{"ann", "bob"} {
			v, err := tx.Root().GetPath("accounts/" + name)
			if err != nil {
				return err
			}
			fmt.Println(name, v)
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// <nil>
	// not enough money
	// ann 70
	// bob 35
}

// Keys are in order, and a range of them costs no more than what it yields.
func ExampleCollection_Range() {
	s, done := openExample()
	defer done()

	err := s.Update(func(tx *engine.Tx) error {
		c, err := tx.Root().NewCollection("log")
		if err != nil {
			return err
		}
		for _, k := range []int{30, 10, 20, 40} {
			if err := c.Set(k, fmt.Sprintf("event at %d", k)); err != nil {
				return err
			}
		}
		for e, err := range c.Range(15, 40) {
			if err != nil {
				return err
			}
			v, err := tx.Value(&e)
			if err != nil {
				return err
			}
			fmt.Println(e.Key, v)
		}
		rank, found, err := c.Rank(20)
		if err != nil {
			return err
		}
		fmt.Println("rank of 20:", rank, found)
		last, err := c.At(-1)
		fmt.Println("last:", last.Key)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// 20 "event at 20"
	// 30 "event at 30"
	// rank of 20: 1 true
	// last: 40
}

// A search yields the members that have a value of some kind inside; "*" stands
// for every key on the way.
func ExampleCollection_Search() {
	s, done := openExample()
	defer done()

	err := s.Update(func(tx *engine.Tx) error {
		users, err := tx.Root().NewCollection("users")
		if err != nil {
			return err
		}
		if err := users.Update(map[string]any{
			"ada":   map[string]any{"tests": []int{3, 9}},
			"grace": map[string]any{"tests": []int{8, 7}},
			"linus": map[string]any{"tests": []int{1}},
		}); err != nil {
			return err
		}
		for e, err := range users.Search("tests/*", engine.OpGreaterEqual, 8) {
			if err != nil {
				return err
			}
			fmt.Println(e.Key)
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// "ada"
	// "grace"
}

// A collection makes keys. Those of uuid7 keep the order of time.
func ExampleCollection_Add() {
	s, done := openExample()
	defer done()

	err := s.Update(func(tx *engine.Tx) error {
		meta, err := tx.Dict(engine.MetaID)
		if err != nil {
			return err
		}
		if err := meta.Set("newkey", "uuid7"); err != nil {
			return err
		}
		notes, err := tx.Root().NewCollection("notes")
		if err != nil {
			return err
		}
		key, err := notes.Add(map[string]any{"text": "buy milk"})
		if err != nil {
			return err
		}
		note, err := notes.Dict(key)
		if err != nil {
			return err
		}
		id, err := note.Get("_id")
		fmt.Println(key.Kind(), key.AsUUID().Version(), id == key)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}

	// A program may make keys as it likes.
	n := int64(0)
	s.SetNewKey(func() value.Value { n++; return value.Int(n) })
	err = s.Update(func(tx *engine.Tx) error {
		n = 0 // an Update may run again
		c, err := tx.Root().NewCollection("serial")
		if err != nil {
			return err
		}
		for _, v := range []string{"a", "b"} {
			key, err := c.Add(v)
			if err != nil {
				return err
			}
			fmt.Println(key)
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// uuid VERSION_7 true
	// 1
	// 2
}

// A feed of all changes. The first call has the version that it begins with,
// so what is built from that and kept up to date misses nothing.
func ExampleStore_Watch() {
	s, done := openExample()
	defer done()

	set := func(key string, v any) {
		if err := s.Update(func(tx *engine.Tx) error { return tx.Root().Set(key, v) }); err != nil {
			log.Fatal(err)
		}
	}
	set("colour", "red")

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	err := s.Watch(ctx, 0, func(d *engine.Differ) error {
		if d.Old().Seq() == d.Now().Seq() { // the first call
			v, err := d.Now().Root().Get("colour")
			fmt.Println("it begins with", v)
			go set("colour", "blue")
			return err
		}
		for c, err := range d.Changes() {
			if err != nil {
				return err
			}
			if c.Kind == engine.ChangeValue {
				old, err := d.Old().Value(c.Old)
				if err != nil {
					return err
				}
				now, err := d.Now().Value(c.Now)
				if err != nil {
					return err
				}
				fmt.Println(c.Kind, c.Path[0].Key, old, now)
				stop()
			}
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// it begins with "red"
	// change "colour" "red" "blue"
	// context canceled
}
