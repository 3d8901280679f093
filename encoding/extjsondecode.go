package encoding

import (
	"encoding/json"
	"fmt"

	"pongofs/engine/value"
)

// extended reads a value of Extended JSON.
func (d *jsonDecoder) extended(tok json.Token) error {
	switch tok {
	case json.Delim('['):
		return d.list((*jsonDecoder).extended)
	case json.Delim('{'):
		return d.extendedObject()
	}
	v, err := d.simple(tok)
	if err != nil {
		return err
	}
	return d.built(d.b.Scalar(v))
}

// extendedObject reads an object behind its brace: a dict, or the value that
// its first name says.
func (d *jsonDecoder) extendedObject() error {
	tok, err := d.token()
	if err != nil {
		return err
	}
	word, _ := tok.(string)
	if _, isWrapper := wrapperWords[word]; !isWrapper {
		return d.extendedMembers(value.KindDict, tok)
	}
	switch word {
	case wordLink:
		return d.link()
	case wordPongo:
		return d.pongo()
	}
	v, err := d.wrapper(word)
	if err != nil {
		return err
	}
	return d.built(d.b.Scalar(v))
}

// link reads a symbolic link behind its word.
func (d *jsonDecoder) link() error {
	tok, err := d.token()
	if err != nil {
		return err
	}
	v, err := d.extendedScalar(tok)
	if err != nil {
		return err
	}
	if v.Kind() != value.KindString {
		return d.fail(ErrSyntax, "the target of a link is a string")
	}
	if err := d.closeWrapper(wordLink); err != nil {
		return err
	}
	return d.built(d.b.Link(v.AsString()))
}

// pongo reads one of our own forms behind its word.
func (d *jsonDecoder) pongo() error {
	word, err := d.pongoWord()
	if err != nil {
		return err
	}
	switch word {
	case wordCollection:
		if err := d.expect('{', "an object of members in a collection"); err != nil {
			return err
		}
		tok, err := d.token()
		if err != nil {
			return err
		}
		if err := d.extendedMembers(value.KindCollection, tok); err != nil {
			return err
		}
	case wordList:
		if err := d.sparseList(); err != nil {
			return err
		}
	case wordEntries:
		if err := d.begin(value.KindDict); err != nil {
			return err
		}
		keys := d.newKeySet()
		if err := d.entries(keys); err != nil {
			return err
		}
		if err := d.endMembers(keys); err != nil {
			return err
		}
	default:
		v, err := d.pongoScalar(word)
		if err != nil {
			return err
		}
		if err := d.closePongo(); err != nil {
			return err
		}
		return d.built(d.b.Scalar(v))
	}
	return d.closePongo()
}

// pongoWord reads the brace and the word in a $pongo.
func (d *jsonDecoder) pongoWord() (string, error) {
	if err := d.expect('{', "an object in "+wordPongo); err != nil {
		return "", err
	}
	tok, err := d.token()
	if err != nil {
		return "", err
	}
	word, ok := tok.(string)
	if !ok {
		return "", d.fail(ErrSyntax, wordPongo+" is empty")
	}
	return word, nil
}

// closePongo reads the end of a $pongo that is a value.
func (d *jsonDecoder) closePongo() error {
	if err := d.closeWrapper(wordPongo); err != nil {
		return err
	}
	return d.closeWrapper(wordPongo)
}

// closeWrapper reads the brace that ends the object of a word.
func (d *jsonDecoder) closeWrapper(word string) error {
	return d.expect('}', "nothing else beside "+word)
}

// extendedMembers reads a dict or collection from the token behind its brace.
func (d *jsonDecoder) extendedMembers(kind value.Kind, tok json.Token) error {
	if err := d.begin(kind); err != nil {
		return err
	}
	keys := d.newKeySet()
	for tok != json.Delim('}') {
		name, _ := tok.(string) // encoding/json lets nothing else pass
		if name == wordPongo {
			if err := d.moreEntries(keys); err != nil {
				return err
			}
			break
		}
		first, err := d.key(keys, value.String(name))
		if err != nil {
			return err
		}
		if err := d.extended(first); err != nil {
			return err
		}
		d.path = d.path[:len(d.path)-1]
		if tok, err = d.token(); err != nil {
			return err
		}
	}
	return d.endMembers(keys)
}

// moreEntries reads the last member of an object, "$pongo":{"entries":…}, from
// behind its name to the end of the object.
func (d *jsonDecoder) moreEntries(keys *keySet) error {
	word, err := d.pongoWord()
	if err != nil {
		return err
	}
	if word != wordEntries {
		return d.fail(ErrSyntax, fmt.Sprintf("%s beside other members has no %q, only %q", wordPongo, word, wordEntries))
	}
	if err := d.entries(keys); err != nil {
		return err
	}
	if err := d.closeWrapper(wordEntries); err != nil {
		return err
	}
	return d.expect('}', "nothing behind "+wordPongo)
}

// entries reads pairs of keys and values.
func (d *jsonDecoder) entries(keys *keySet) error {
	return d.pairs(func(k value.Value) (json.Token, error) { return d.key(keys, k) })
}

// sparseList reads a list from the pairs of its indexes and names with their
// values.
func (d *jsonDecoder) sparseList() error {
	if err := d.begin(value.KindList); err != nil {
		return err
	}
	keys := d.newKeySet()
	var next int64
	err := d.pairs(func(k value.Value) (json.Token, error) {
		switch {
		case k.Kind() == value.KindString:
			next = -1 // no more elements
			return d.key(keys, k)
		case k.Kind() != value.KindInt:
			return nil, d.fail(ErrSyntax, "a list has indexes and names, not "+k.GoString())
		case next < 0 || k.AsInt() < next:
			return nil, d.fail(ErrSyntax, fmt.Sprintf("index %d does not come behind the one before", k.AsInt()))
		case k.AsInt()-next > maxGap:
			return nil, d.fail(ErrRange, fmt.Sprintf("index %d is more than %d behind the one before", k.AsInt(), maxGap))
		}
		for ; next < k.AsInt(); next++ {
			if err := d.built(d.b.Gap()); err != nil {
				return nil, err
			}
		}
		next++
		d.path = append(d.path, pathStep{list: true, key: k})
		return d.token()
	})
	if err != nil {
		return err
	}
	return d.endMembers(keys)
}

// maxGap bounds the work that one index asks for, as in a list of a store.
const maxGap = 1 << 20

// pairs reads an array of pairs of keys and values. enter is called with each
// key; it adds a step to the path and returns the first token of the value.
func (d *jsonDecoder) pairs(enter func(k value.Value) (json.Token, error)) error {
	if err := d.expect('[', "a list of entries"); err != nil {
		return err
	}
	for {
		tok, err := d.token()
		if err != nil {
			return err
		}
		if tok == json.Delim(']') {
			return nil
		}
		if tok != json.Delim('[') {
			return d.fail(ErrSyntax, "want an entry as [key, value]")
		}
		if tok, err = d.token(); err != nil {
			return err
		}
		k, err := d.extendedScalar(tok)
		if err != nil {
			return err
		}
		if tok, err = enter(k); err != nil {
			return err
		}
		if tok == json.Delim(']') {
			return d.fail(ErrSyntax, "the entry has no value")
		}
		if err := d.extended(tok); err != nil {
			return err
		}
		d.path = d.path[:len(d.path)-1]
		if err := d.expect(']', "nothing but a key and a value in an entry"); err != nil {
			return err
		}
	}
}
