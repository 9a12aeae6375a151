"""Fabricated packages: wheels and compressed tar archives with the files that a test wants in them."""

import io
import tarfile
import zipfile


def archive(path, files):
    """Write files into a wheel or a gzipped tar archive, by the name of the path, and return it."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path, "w") as zipped:
            for name, data in files.items():
                zipped.writestr(name, data)
        return path
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path
