package fsnode_test

import (
	"testing"

	"pongofs/engine"
	"pongofs/engine/value"
)

// makeTyped is a script that makes a tree with everything that a copy without
// extended attributes would lose, and a function that shows its types.
const makeTyped = `
set -e
ty() { setfattr -n user.pongo.type -v $1 "$2"; }
mkdir src; cd src
echo 42 > s42; ty string s42; echo 42 > i42; ty int i42; : > empty; ty string empty
printf hi > b; ty bytes b; echo 5 > f; ty float f; echo nan > nanf; ty float nanf; echo -0.0 > neg
mkdir l; ty list l; for i in 1 2 3; do echo $i > l/+; done; rm l/1; echo x > l/name
mkdir c; ty collection c; echo x > c/x; mkdir c/l2; ty list c/l2; echo true > c/l2/+; ty string c/l2/0
mkdir emptylist; ty list emptylist
mkdir plain; echo 1 > plain/1; ln -s x link
# rsync leaves the times of directories and links alone within one second.
find . -depth -exec touch -h -d '2020-02-03 04:05:06.789' {} +
cd ..
`

const showTypes = `
types() { (cd $1; find . -not -name .pongo-types -not -type l | LC_ALL=C sort | while read f; do
	echo "$f $(getfattr --only-values -n user.pongo.type "$f" 2>/dev/null) $([ -f "$f" ] && cksum < "$f")"; done); }
same() { types src > /tmp/t.$$; types $1 | diff /tmp/t.$$ - && echo same; rm -f /tmp/t.$$; }
`

func TestSidecarContent(t *testing.T) {
	dir := newMount(t)
	if out := sh(t, dir, makeTyped); out != "" {
		t.Fatal(out)
	}
	steps(t, dir, []step{
		{`cat src/.pongo-types`, `{"name":"b","type":"bytes"}
{"name":"empty","type":"string"}
{"name":"nanf","type":"float"}
{"name":"s42","type":"string"}`},
		{`cat src/l/.pongo-types src/c/.pongo-types src/c/l2/.pongo-types; ls -A src/plain`, `{"name":".","type":"list"}
{"name":".","type":"collection"}
{"name":".","type":"list"}
{"name":"0","type":"string"}
1`},
		{`ls -A src/l | head -1; stat -c '%a %s %h' src/l/.pongo-types; wc -c < src/l/.pongo-types`, ".pongo-types\n644 27 1\n27"},
		{`ls -A | grep pongo`, ""},
		{
			`setfattr -x user.pongo.type src/b; grep -c . src/.pongo-types; printf '{"name":"s42","type":"string"}\n{"name":"b","type":"bytes"}\n' > src/.pongo-types; getfattr --only-values -n user.pongo.type src/b; getfattr --only-values -n user.pongo.type src/nanf`,
			"3\nbytesstring",
		},
		{`echo '{"name":"nanf","type":"float"}' >> src/.pongo-types; cat src/.pongo-types; getfattr --only-values -n user.pongo.type src/nanf`, `{"name":"b","type":"bytes"}
{"name":"nanf","type":"float"}
{"name":"s42","type":"string"}
float`},
		{`cp /etc/hostname src/.pongo-types 2>&1; cut -d' ' -f3-7 .pongo/errors; getfattr --only-values -n user.pongo.error src | cut -d' ' -f1-4`, "cp: failed to close 'src/.pongo-types': Invalid argument\n/src .pongo-types line 1: invalid\n.pongo-types line 1: invalid"},
		{`rm src/.pongo-types; ls -A src | head -1; cat src/.pongo-types; getfattr --only-values -n user.pongo.type src/s42`, "b\ncat: src/.pongo-types: No such file or directory\nstring"},
		{`touch -d 2001-02-03 src/l/.pongo-types; chmod 600 src/l/.pongo-types; stat -c '%a %y' src/l/.pongo-types | cut -c1-14`, "600 2001-02-03"},
		{`mv src/c/.pongo-types x; echo $?; rm -rf src; ls -A`, "mv: cannot move 'src/c/.pongo-types' to 'x': Operation not permitted\n1"},
	})
}

func TestTypesSurviveCopies(t *testing.T) {
	dir := newMount(t)
	if out := sh(t, dir, makeTyped); out != "" {
		t.Fatal(out)
	}
	out := t.TempDir()
	for name, script := range map[string]string{
		"rsync":          `rsync -a src/ $B/; rsync -ai src/ $B/; rsync -a $B/ back/; rsync -ai --modify-window=-1 $B/ back/; rsync -aic $B/ back/`,
		"rsync -X":       `rsync -aX src/ $B/; rsync -aXi src/ $B/; rsync -aX $B/ back/; rsync -aXi $B/ back/`,
		"rsync inplace":  `rsync -a src/ $B/; rsync -a --inplace $B/ back/; rsync -ai --inplace $B/ back/`,
		"rsync in mount": `rsync -a src/ back/; rsync -ai src/ back/`,
		"tar":            `tar cf $B.tar -C src .; mkdir back; tar xf $B.tar -C back; tar xf $B.tar -C back`,
		"tar xattrs":     `tar cf $B.tar --xattrs -C src .; mkdir back; tar xf $B.tar --xattrs -C back; tar xf $B.tar --xattrs -C back`,
		"cp -r":          `cp -r src back; cp -r src/. back`,
		"cp -a":          `cp -a src back; cp -a src/. back; cp -a --remove-destination src/. back`,
		"zip":            `(cd src; zip -qry $B.zip .); mkdir back; python3 -c 'import shutil,sys; shutil.unpack_archive(sys.argv[1],"back")' $B.zip; rm -f back/link`,
		"git":            `cp -r src $B; (cd $B; git init -q; git add -A; git -c user.name=a -c user.email=b commit -qm x); git clone -q $B back; rm -rf back/.git; mkdir -p back/emptylist`,
		"reverse":        `mkdir back; (cd src; find . -type d | while read d; do mkdir -p ../back/$d; done; find . -type f | LC_ALL=C sort -r | while read f; do cat $f > ../back/$f; done)`,
	} {
		t.Run(name, func(t *testing.T) {
			got := sh(t, dir, "B="+out+"/b\n"+showTypes+script+"\nsame back\nrm -rf back $B*")
			if got != "same\n" {
				t.Errorf("%s:\n%s", script, got)
			}
		})
	}
}

func TestLongKeys(t *testing.T) {
	path := newStore(t)
	store := openStore(t, path)
	long := func(c byte) value.Value {
		b := make([]byte, 300)
		for i := range b {
			b[i] = c
		}
		return value.String(string(b))
	}
	err := store.Update(func(tx *engine.Tx) error {
		d, err := tx.Make(engine.RootID, value.String("src"), value.KindDict, engine.NewAttr{Mode: 0o755})
		for i, k := range []value.Value{long('a'), long('b'), value.String(""), value.String("."), value.String(".."), value.String("a/b"), value.String("%2F"), value.Int(55), value.String("55"), value.Bool(true), value.Null(), value.Float(2.5), value.String("\xff"), value.String("new\nline")} {
			if err != nil {
				break
			}
			_, err = tx.Put(d.ID, k, value.Int(int64(i)), engine.PutOptions{New: engine.NewAttr{Mode: 0o644}})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	dir := mountStore(t, path, "")
	out := t.TempDir()
	keys := `keys() { for f in $1/*; do getfattr --only-values -n user.pongo.key "$f" | cut -c1-50; cat "$f"; done; }; `
	steps(t, dir, []step{
		{`ls -A src | wc -l; ls src | grep -c '^%=~'; cat src/%=~a*`, "16\n2\n0"},
		{`ls src | grep -v '^%=~' | LC_ALL=C sort | tr '\n' ' '`, "%252F %2E %2E. %= %=b1 %=f2.5 %=i55 %=n 55 a%2Fb line new \xff"},
		{
			keys + `for how in -a -aX "-a --inplace"; do rsync $how src/ ` + out + `/b/; rsync $how ` + out + `/b/ back/; keys src > ` + out + `/k1; keys back | diff ` + out + `/k1 - && echo same; rsync -ai ` + out + `/b/ back/; rm -rf back ` + out + `/b; done`,
			"same\nsame\nsame",
		},
		{keys + `cp -r src back; keys back | diff ` + out + `/k1 - && echo same; rm -rf back; cp -a src back;  keys back | diff ` + out + `/k1 - && echo same; rm -rf back`, "same\nsame"},
		{`echo new > src/%=~a*; cat src/%=~a*; mv src/%=~a* short; cat short; ls src | grep -c '^%=~'`, "new\nnew\n1"},
		{`rm src/%=~b*; ls -A src | grep -c pongo-types; python3 - <<'P'
import os
try: open('src/'+'x'*256,'w')
except OSError as e: print(e.strerror)
open('src/'+'y'*255,'w').close()
print(len([n for n in os.listdir('src') if n.startswith('y')][0]))
P`, "0\nFile name too long\n255"},
	})
}
