package fsnode_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// sh runs a script with bash in dir and returns what it wrote, stderr
// included. The script runs under a deadline.
func sh(t testing.TB, dir, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); ctx.Err() != nil {
		t.Fatalf("script does not end: %v\n%s\n%s", err, script, out.String())
	}
	return out.String()
}

// step is one script and the lines that it must write.
type step struct{ script, want string }

// steps runs scripts one after the other in dir.
func steps(t *testing.T, dir string, all []step) {
	t.Helper()
	for _, s := range all {
		got := strings.TrimSpace(sh(t, dir, s.script))
		want := strings.TrimSpace(s.want)
		if got != want {
			t.Errorf("%s\ngot:\n%s\nwant:\n%s", s.script, got, want)
		}
	}
}

const typeOf = `type() { getfattr --only-values -h -n user.pongo.type "$1" 2>/dev/null; echo; }; `

func TestFileContent(t *testing.T) {
	steps(t, newMount(t), []step{
		{`echo a > f; echo b >> f; cat f; stat -c %s f`, "a\nb\n4"},
		{`printf x > g; cat g | od -An -c | tr -d ' '; stat -c %s g`, "x\n1"},
		{
			typeOf + `for v in 42 -1 true 1.5 2024-01-02T03:04:05.000006Z hello 007 1e5 nan; do echo $v > v; cat v; type v; done`,
			"42\nint\n-1\nint\ntrue\nbool\n1.5\nfloat\n2024-01-02T03:04:05.000006Z\ndatetime\nhello\nstring\n007\nstring\n1e5\nstring\nnan\nstring",
		},
		{typeOf + `: > v; type v; printf 'a\0b' > v; type v; printf '\xff' > v; type v`, "null\nbytes\nbytes"},
		{`for i in 1 2 3; do echo $i; done > s; cat s | wc -l`, "3"},
		{`echo hello > s; sed -i s/hello/world/ s; perl -i -pe s/world/perl/ s; cat s; ls`, "perl\nf\ng\ns\nv"},
		{`truncate -s 5 s; od -An -c s | tr -d ' '; truncate -s 0 s; stat -c %s s`, "perl\\n\n0"},
		{
			`touch -d '2020-01-02 03:04:05.123456789Z' s; TZ= stat -c %y s; chmod 640 s; chown 3:4 s; stat -c '%a %u %g' s`,
			"2020-01-02 03:04:05.123456789 +0000\n640 3 4",
		},
		{`mkdir -p a/b/c; echo 1 > a/b/c/d; mv a/b x; cat x/c/d; stat -c %h a x; rmdir a; rm -r x; ls -d a x 2>&1 | wc -l`, "1\n2\n3\n2"},
		{
			`ln -s f link; readlink link; cat link; ln -s nowhere dangling; cat dangling; rm link dangling`,
			"f\na\nb\ncat: dangling: No such file or directory",
		},
		{`echo 1 > 100%; echo 2 > 'foo%25bar'; mkdir 'sp ace'; ls -Q`, "\"100%\"\n\"f\"\n\"foo%25bar\"\n\"g\"\n\"s\"\n\"sp ace\"\n\"v\""},
		{`ln f h; mkfifo p; mknod d c 1 3; mkdir f; rmdir f; cat nope; echo x > 'sp ace'`, `ln: failed to create hard link 'h' => 'f': Operation not permitted
mkfifo: cannot create fifo 'p': Operation not permitted
mknod: d: Operation not permitted
mkdir: cannot create directory 'f': File exists
rmdir: failed to remove 'f': Not a directory
cat: nope: No such file or directory
bash: line 1: sp ace: Is a directory`},
	})
}

func TestTimestampsOfTruncation(t *testing.T) {
	steps(t, newMount(t), []step{
		{`touch -d 2000-01-01 f; : > f; [ $(stat -c %Y f) -gt 1700000000 ] && echo now`, "now"},
		{`echo x > f; touch -d 2000-01-01 f; : > f; [ $(stat -c %Y f) -gt 1700000000 ] && stat -c %s f`, "0"},
		{`echo x > f; touch -d 2000-01-01Z f; echo x > f; stat -c %Y f`, "946684800"},
	})
}

func TestDeclared(t *testing.T) {
	steps(t, newMount(t), []step{
		{typeOf + `echo 42 > age; echo hello > age; type age; echo 42 > age`, "string"},
		{`getfattr -d age; setfattr -n user.pongo.type -v int age; getfattr -d age`, "# file: age\nuser.pongo.type=\"int\""},
		{`echo hello > age; echo $?; cat age`, "bash: line 1: echo: write error: Invalid argument\n1\n42"},
		{`dash -c 'echo hello > age' 2>/dev/null; echo $?; cat age`, "1\n42"},
		{`printf 4x > age; echo $?; cat age`, "bash: line 1: printf: write error: Invalid argument\n1\n42"},
		{`getfattr --only-values -n user.pongo.error age`, `"4x" is not a value of type int: it has a character that is not a digit`},
		{`echo 99999999999999999999 > age; cat age`, "bash: line 1: echo: write error: Numerical result out of range\n42"},
		{`echo ' +43 ' > age; cat age; getfattr -n user.pongo.error age`, "43\nage: user.pongo.error: No such attribute"},
		{`printf 7 > age; od -An -c age | tr -d ' '; echo 42 > age`, "7"},
		{
			`sed -i s/42/x/ age 2>&1 | sed 's,/sed[A-Za-z0-9]*:,/TEMP:,'; cat age; sed -i s/42/43/ age; cat age; getfattr -d age`,
			"sed: cannot rename ./TEMP: Invalid argument\n42\n43\n# file: age\nuser.pongo.type=\"int\"",
		},
		{`cp /etc/passwd age; cat age`, "cp: error writing 'age': Invalid argument\n43"},
		{`echo x | tee age; cat age`, "x\ntee: age: Invalid argument\n43"},
		{`echo 5 | dd of=age conv=notrunc status=none; cat age`, "5\n\n"[:1]},
		{`python3 -c 'open("age","wb",0).write(b"no")' 2>&1 | tail -1; cat age`, "OSError: [Errno 22] Invalid argument\n5"},
		{
			`echo 123 > n; rsync --inplace n age; cat age; echo 4 > n; rsync --inplace n age; cat age; echo no > n; rsync --inplace n age 2>&1 | head -1 | cut -c1-20; cat age`,
			"123\n4\nrsync: [receiver] wr\n4",
		},
		{
			`setfattr -n user.pongo.type -v bool age; setfattr -n user.pongo.type -v string age; getfattr -d age; setfattr -x user.pongo.type age; getfattr -d age; echo word > age; cat age`,
			"setfattr: age: Invalid argument\n# file: age\nuser.pongo.type=\"string\"\n\nword",
		},
		{
			`echo 1 > b; setfattr -n user.pongo.type -v int b; mv b c; getfattr -d c; echo 2 > d; mv d c; getfattr -d c; cat c; echo no > d; mv d c 2>&1; ls`,
			"# file: c\nuser.pongo.type=\"int\"\n\n# file: c\nuser.pongo.type=\"int\"\n\n2\nmv: cannot move 'd' to a subdirectory of itself, 'c'\nage\nc\nd\nn",
		},
		{
			`: > e; setfattr -n user.pongo.type -v int e; exec 3> e; setfattr -n user.pongo.type -v int e; echo $?; echo 5 >&3; exec 3>&-; getfattr -d e; exec 3> g; setfattr -n user.pongo.type -v int g; echo no >&3; exec 3>&-; getfattr -d g; cat g; rm e g`,
			"setfattr: e: Invalid argument\n0\n# file: e\nuser.pongo.type=\"int\"\n\nno",
		},
		{`: > c; cat c; truncate -s 0 c; cat c; perl -e 'truncate("c",0) or print "$!\n"'`, "2\ntruncate: failed to close 'c': Invalid argument\n2\nInvalid argument"},
		{`exec 3<> c; printf 12 >&3; cat <&3 /proc/self/fd/3 >/dev/null; printf '3\n' >&3; exec 3>&-; cat c`, "123"},
	})
}

func TestLists(t *testing.T) {
	steps(t, newMount(t), []step{
		{
			`mkdir l; setfattr -n user.pongo.type -v list l; for i in a b c; do echo $i > l/+; done; touch l/+; ln -s t l/+; cp /etc/hostname l/+; ls -U l | tr '\n' ' '`,
			"0 1 2 3 4 5",
		},
		{`ls l/+; mkdir l/+; echo x > y; mv y l/+; ls l | wc -l`, `ls: cannot access 'l/+': No such file or directory
mkdir: cannot create directory 'l/+': Invalid argument
mv: cannot move 'y' to a subdirectory of itself, 'l/+'
6`},
		{`rm l/1; ls -U l | tr '\n' ' '; cat l/1; cat l/2`, "0 2 3 4 5 cat: l/1: No such file or directory\nc"},
		{`echo z > l/10; ls -U l | tr '\n' ' '; echo q > l/+; cat l/11`, "0 2 3 4 5 10 q"},
		{`echo n > l/007; echo n > l/name; cat l/007; [ -e l/7 ] || echo gap; ls -U l | tr '\n' ' '`, "n\ngap\n0 2 3 4 5 10 11 007 name"},
		{`echo x > l/2000000`, "bash: line 1: l/2000000: File too large"},
		{`mv l/11 l/1; cat l/1; mv l/name l/12; ls -U l | tr '\n' ' '`, "q\n0 1 2 3 4 5 10 12 007"},
		{`sed -i s/a/A/ l/0; cat l/0; ls l | wc -l`, "A\n9"},
		{`rm l/1?; ls -U l | tr '\n' ' '; echo e > l/+; ls -U l | tr '\n' ' '`, "0 1 2 3 4 5 007 0 1 2 3 4 5 6 007"},
		{`setfattr -n user.pongo.type -v dict l; ls -U l | tr '\n' ' '; cat l/0; setfattr -n user.pongo.type -v list l; cat l/0`, "0 007 1 2 3 4 5 6 A\nA"},
		{`rm -rf l; ls`, "y"},
		{`mkdir m; setfattr -n user.pongo.type -v list m; for i in $(seq 300); do echo $i > m/+; done; for f in m/*; do rm "$f"; done; ls -A m; rmdir m; ls`, ".pongo-types\ny"},
		{`mkdir m; setfattr -n user.pongo.type -v list m; for i in $(seq 300); do echo $i > m/+; done; find m -delete; ls`, "y"},
	})
}

func TestAppendFromManyShells(t *testing.T) {
	dir := newMount(t)
	steps(t, dir, []step{
		{`mkdir l; setfattr -n user.pongo.type -v list l
for k in 1 2 3 4; do (for i in $(seq 50); do echo $k.$i > l/+; done) & done; wait; ls l | wc -l; cat l/* | sort -u | wc -l`, "200\n200"},
		{`for k in 1 2 3; do (for i in $(seq 200); do echo $k.$i >> log; done) & done; wait; wc -l < log; sort -u log | wc -l`, "600\n600"},
	})
}

func TestXattrs(t *testing.T) {
	steps(t, newMount(t), []step{
		{`echo 1 > f; setfattr -n user.foo -v bar f; getfattr -d f; setfattr -x user.foo f; getfattr -d f`, "# file: f\nuser.foo=\"bar\""},
		{
			`setfattr -n user.pongo.x -v y f; setfattr -n trusted.x -v y f; setfattr -n security.x -v y f; setfattr -x user.nope f`,
			"setfattr: f: Invalid argument\nsetfattr: f: Operation not supported\nsetfattr: f: Operation not supported\nsetfattr: f: No such attribute",
		},
		{
			`mkdir d; setfattr -n user.a -v 1 d; getfattr -d d; getfattr -n user.pongo.type d; setfattr -n user.pongo.type -v int d; setfattr -n user.pongo.type -v dict f`,
			"# file: d\nuser.a=\"1\"\n\n# file: d\nuser.pongo.type=\"dict\"\n\nsetfattr: d: Invalid argument\nsetfattr: f: Invalid argument",
		},
		{`head -c 60000 /dev/zero | tr '\0' x > big; python3 - <<'P'
import os
os.setxattr('f','user.big',open('big','rb').read())
try: os.setxattr('f','user.big2',open('big','rb').read())
except OSError as e: print(e.strerror)
print(len(os.getxattr('f','user.big')), os.listxattr('f'))
P`, "No space left on device\n60000 ['user.big']"},
		{`getfattr --only-values -n user.pongo.key f; echo; echo x > '100%'; getfattr --only-values -n user.pongo.key '100%'`, "f\n100%"},
	})
}
