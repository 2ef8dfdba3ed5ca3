package pipeline

import "strings"

func (c *sourceChecker) files(at string, files []File) {
	if c.written(at) && len(files) == 0 {
		c.fault(at, "write at least one file", "is empty")
	}
	for i := range files {
		c.file(item(at, i), &files[i])
	}
}

func (c *sourceChecker) file(at string, f *File) {
	switch p := join(at, "path"); {
	case !c.written(p):
		c.lacks(p, "for example /etc/game/server.conf", "is missing")
	case f.Path == "/":
		c.fault(p, "name something below it", "the image's root is there anyway")
	default:
		c.absolute(p, f.Path, "/etc/game/server.conf")
	}
	c.oneOf(at, []string{"content", "from", "link", "dir"}, "kinds of content")
	if dir := join(at, "dir"); c.written(dir) && !f.Dir {
		c.fault(dir, "write dir: true for a folder, else leave it out", "false says nothing")
	}
	if link := join(at, "link"); c.written(link) && f.Link == "" {
		c.fault(link, "for example ../lib/x", "is empty")
	}
	if from := join(at, "from"); c.written(from) {
		c.from(from, f.From)
	}
	c.optional(join(at, "mode"), f.Mode, modeSyntax)
	if f.Mode != "" && strings.Trim(f.Mode, "0") == "" {
		c.fault(join(at, "mode"), modeSyntax.hint, "%s lets nobody read it", quote(f.Mode))
	}
	if f.Link != "" && f.Mode != "" {
		c.fault(join(at, "mode"), "leave it out", "a symlink has no mode of its own")
	}
}
