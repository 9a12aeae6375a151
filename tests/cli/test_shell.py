"""The shell around the commands: light, one sentence for what the user can mend, a traceback for what is our fault."""

import os
import signal
import subprocess
import sys
import textwrap

import click
import pytest

import featlab as fl
from featlab.cli import COMMANDS, Commands, group, main
from featlab.cli.options import SPEC


def run(*arguments, code=""):
    program = f"{textwrap.dedent(code)}\nfrom featlab.cli import main\nmain({list(arguments)!r})"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.fixture
def command(monkeypatch):
    """Put a command of the test's own in place of `featlab demo`, and run it."""

    def put(function):
        monkeypatch.setattr(Commands, "get_command", lambda *_: click.command("demo")(function))
        main(["demo"])

    return put


def leaves(call, capsys):
    """Return the exit status and what was written on stdout and stderr."""
    with pytest.raises(SystemExit) as leave:
        call()
    said = capsys.readouterr()
    return leave.value.code, said.out, said.err


def test_the_text_of_a_threat_model_is_checked_and_handed_on():
    assert SPEC.convert("l2:eps=1/2", None, None) == "l2:eps=1/2"
    for text, reason in {"l2": "needs eps", "lnif:eps=1": "did you mean 'linf'", "l2:eps=-1": "eps must be"}.items():
        with pytest.raises(click.BadParameter, match=reason):
            SPEC.convert(text, None, None)


def test_help_lists_every_command_without_importing_any():
    done = run("--help", code="import sys, atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr))")
    assert done.returncode == 0
    for name, (_, line) in COMMANDS.items():
        assert f"{name} " in done.stdout
        assert line in done.stdout
    imported = set(done.stderr.split())
    assert "featlab.cli" in imported
    assert (
        not {"torch", "numpy", "pluggy", "rich", *(path.partition(":")[0] for path, _ in COMMANDS.values())} & imported
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_says_what_it_does(name, capsys):
    found = group.get_command(click.Context(group), name)
    assert isinstance(found, click.Command)
    assert found.name == name
    status, out, _ = leaves(lambda: main([name, "--help"]), capsys)
    assert status == 0
    assert out.startswith(f"Usage: featlab {name}")


def test_commands_are_listed_in_order():
    assert list(COMMANDS) == sorted(COMMANDS)


def test_no_command_at_all_shows_the_help(capsys):
    status, _, err = leaves(lambda: main([]), capsys)
    assert status == 2
    assert err.startswith("Usage: featlab ")


def test_the_version_is_the_packages(capsys):
    assert leaves(lambda: main(["--version"]), capsys) == (0, f"featlab {fl.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["deno"], "got 'deno'; did you mean 'demo'? (see featlab --help)"),
        (["plugins", "--jsn"], "(see featlab plugins --help)"),
        (["data", "shwo"], "No such command 'shwo'"),
        (["layers"], "Missing argument 'MODEL'. (see featlab layers --help)"),
        (["evaluate", "nope.safetensors", "--data", "fashion-mini"], "nope.safetensors"),
        (["data", "show", "fashion-mnii"], "did you mean 'fashion-mini'?"),
        (["evaluate", "x", "--data", "fashion-mini", "--threat-model", "lnif:eps=1"], "did you mean 'linf'?"),
        (["evaluate", "x", "--data", "fashion-mini", "--threat-model", "linf:eps=8"], "did you mean 8/255?"),
        (["evaluate", "x", "--data", "fashion-mini", "--threat-model", "l2:esp=1"], "did you mean 'eps'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_arguments_are_one_sentence(arguments, sentence, capsys):
    status, out, err = leaves(lambda: main(arguments), capsys)
    assert status == 2
    assert out == ""
    assert err.startswith("featlab: ")
    assert sentence in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("images must lie in [0, 1];\n  got 3"), "featlab: images must lie in [0, 1]; got 3\n"),
        (
            FileNotFoundError(2, "No such file or directory", "a.npz"),
            "featlab: [Errno 2] No such file or directory: 'a.npz'\n",
        ),
        (PermissionError(), "featlab: PermissionError\n"),
        (click.FileError("b.npz", "gone"), "featlab: Could not open file 'b.npz': gone\n"),
    ],
    ids=repr,
)
def test_errors_that_the_user_can_mend_are_one_sentence(command, error, sentence, capsys):
    def fails():
        raise error

    assert leaves(lambda: command(fails), capsys) == (2, "", sentence)


@pytest.mark.parametrize("error", [RuntimeError, TypeError, KeyError, AssertionError])
def test_errors_of_ours_are_not_hidden(command, error):
    def fails():
        raise error("a defect")

    with pytest.raises(error, match="a defect"):
        command(fails)


@pytest.mark.parametrize("error", [KeyboardInterrupt, click.Abort])
def test_an_interruption_is_one_line(command, error, capsys):
    def stops():
        raise error

    status, out, err = leaves(lambda: command(stops), capsys)
    assert (status, out) == (130, "")
    assert err.strip() == "featlab: interrupted; the same command goes on where it can"


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_control_c_ends_a_running_command():
    code = """
        import signal, sys, time, click
        from featlab.cli import Commands, main
        signal.signal(signal.SIGINT, signal.default_int_handler)  # What a shell's background jobs start ignores it.

        @click.command()
        def waits():
            print("ready", flush=True)
            time.sleep(60)

        Commands.get_command = lambda *_: waits
        main(["demo"])
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=70)
    assert process.returncode == 130
    assert err.strip() == "featlab: interrupted; the same command goes on where it can"


def test_warnings_are_lines_without_a_place_in_the_code():
    code = """
        import warnings, click
        from featlab.cli import Commands
        Commands.get_command = lambda *_: click.command("demo")(lambda: warnings.warn("gradients are exactly zero"))
    """
    done = run("demo", code=code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "warning: gradients are exactly zero\n")


def test_a_reader_that_has_seen_enough_ends_the_command_quietly():
    code = """
        import click
        from featlab.cli import Commands, main
        Commands.get_command = lambda *_: click.command("demo")(lambda: [click.echo("x" * 1000) for _ in range(1000)])
        main(["demo"])
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1
