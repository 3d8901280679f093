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
		if tok, err = d.key(keys, k); err != nil {
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
