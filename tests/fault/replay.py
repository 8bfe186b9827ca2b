"""What is left of a directory after a power failure, from the journal that faults.c keeps.

The model is the least that POSIX promises: a file's content is durable as it was when it was last synced, a name when its
directory was synced after the change. Data of a file whose sync failed is gone for good: the kernel reports it once and then
takes the pages for clean.
"""
import os


class File:
    def __init__(self, content=b""):
        self.durable = content  # after the last sync
        self.lost = False       # a sync failed: what was written before it never becomes durable


class Directory:
    pass


class Disk:
    """`root` as it was before the journal began; everything in it is durable."""

    def __init__(self, root):
        self.root = root
        self.now = {}        # path -> File or Directory, as processes see it
        self.by_inode = {}
        for directory, folders, files in os.walk(root):
            for name in folders:
                self.now[os.path.join(directory, name)] = Directory()
            for name in files:
                path = os.path.join(directory, name)
                with open(path, "rb") as f:
                    file = File(f.read())
                self.now[path] = self.by_inode[os.stat(path).st_ino] = file
        self.durable = dict(self.now)

    def apply(self, line):
        operation, *fields = line.rstrip("\n").split("\t")
        getattr(self, "on_" + operation)(*fields)

    def on_fired(self, kind, at, call):
        pass

    def on_create(self, inode, path):
        self.now[path] = self.by_inode[int(inode)] = File()

    def on_write(self, inode):
        pass  # counts when it is synced

    def on_sync(self, inode, snapshot):
        file = self.by_inode[int(inode)]
        if not file.lost:
            with open(snapshot, "rb") as f:
                file.durable = f.read()

    def on_syncfailed(self, inode):
        if int(inode) in self.by_inode:
            self.by_inode[int(inode)].lost = True

    def on_syncdir(self, path):
        for name in [name for name in self.durable if os.path.dirname(name) == path]:
            del self.durable[name]
        self.durable.update({name: file for name, file in self.now.items() if os.path.dirname(name) == path})

    def on_rename(self, before, after):
        self.now[after] = self.now.pop(before)

    def on_link(self, before, after):
        self.now[after] = self.now[before]

    def on_unlink(self, path):
        del self.now[path]

    def on_mkdir(self, path):
        self.now[path] = Directory()

    def lose(self, keep_names):
        """{path: content} of the files that are left. keep_names: every change of a name reached the disk before its data did,
        which a file system may do too."""
        names = self.now if keep_names else self.durable

        def reachable(path):
            parent = os.path.dirname(path)
            return parent == self.root or (isinstance(names.get(parent), Directory) and reachable(parent))

        return {path: file.durable for path, file in names.items() if isinstance(file, File) and reachable(path)}
