// Ballast: a file whose only use is its size. On a disk that others have filled, deletes still need room, for the database's journal:
// they get it here, a piece at a time, and it is taken back when there is room again.
#ifndef NASHSWARM_SERVER_STORE_SQL_BALLAST_H_
#define NASHSWARM_SERVER_STORE_SQL_BALLAST_H_

#include <cstdint>
#include <string>

namespace nashswarm::server::sql {

// Enough for deletes of the largest jobs and models; on a small disk at most a tenth of it.
inline constexpr int64_t kBallastBytes = 8 << 20;

// One thread at a time; several processes may share the file.
class Ballast {
 public:
  // 0 bytes: none, and no file. Also makes room for whoever is about to open the database on a full disk.
  Ballast(std::string path, int64_t bytes);
  ~Ballast();
  Ballast(const Ballast&) = delete;
  Ballast& operator=(const Ballast&) = delete;

  // Gives a piece to the disk; false when there is none left.
  bool Release();
  // Takes back what was released, as soon as the disk has room for it and as much again. Cheap when nothing was.
  void Restore();

 private:
  int64_t Size() const;

  const std::string path_;
  const int64_t bytes_;
  int fd_ = -1;
  bool released_ = false;
};

}  // namespace nashswarm::server::sql

#endif  // NASHSWARM_SERVER_STORE_SQL_BALLAST_H_
