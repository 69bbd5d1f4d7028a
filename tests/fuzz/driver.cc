// Runs a fuzz target without libFuzzer: every file of its corpus, then RUNS inputs that are made of
// these by chance, from a fixed seed: fuzz_targets CORPUS RUNS, where the corpus' folder has the
// target's name. A run that fails leaves its input in fuzz-failed-TARGET beside itself, which is
// then a file for the corpus.
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace csa::fuzz {
namespace {

std::map<std::string, Target>& targets() {
  static std::map<std::string, Target> all;
  return all;
}

Bytes read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

Bytes changed(const std::vector<Bytes>& corpus, std::mt19937_64& random) {
  const auto below = [&](std::size_t count) { return random() % count; };
  Bytes input = corpus[below(corpus.size())];
  for (std::size_t n = 1 + below(6); n > 0; --n) {
    const std::size_t at = below(input.size() + 1);
    const auto place = input.begin() + static_cast<std::ptrdiff_t>(at);
    const std::size_t some = std::min(input.size() - at, std::size_t{1} << below(7));
    switch (below(6)) {
      case 0:
        if (at < input.size()) input[at] = static_cast<std::uint8_t>(random());
        break;
      case 1:
        if (at < input.size()) input[at] ^= static_cast<std::uint8_t>(1U << below(8));
        break;
      case 2:
        input.insert(place, static_cast<std::uint8_t>(random()));
        break;
      case 3:
        input.erase(place, place + static_cast<std::ptrdiff_t>(some));
        break;
      case 4: {
        const Bytes again(place, place + static_cast<std::ptrdiff_t>(some));
        input.insert(input.begin() + static_cast<std::ptrdiff_t>(below(input.size() + 1)),
                     again.begin(), again.end());
        break;
      }
      default: {
        const Bytes& other = corpus[below(corpus.size())];
        input.resize(at);
        input.insert(input.end(),
                     other.begin() + static_cast<std::ptrdiff_t>(std::min(at, other.size())),
                     other.end());
      }
    }
  }
  if (input.size() > 20'000) input.resize(20'000);
  return input;
}

int run(int count, char** words) {
  if (count != 3) {
    std::cerr << "usage: " << words[0] << " CORPUS RUNS\n";
    return 2;
  }
  const std::filesystem::path folder = words[1];
  const std::string name = folder.filename().string();
  if (!targets().contains(name)) {
    std::cerr << words[1] << " is no target's corpus\n";
    return 2;
  }
  const Target target = targets().at(name);
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry);
  std::sort(files.begin(), files.end());
  std::vector<Bytes> corpus;
  for (const auto& file : files) {
    std::cerr << file.filename().string() << '\n';
    corpus.push_back(read_file(file));
    target(corpus.back().data(), corpus.back().size());
  }
  if (corpus.empty()) {
    std::cerr << folder << " is empty\n";
    return 2;
  }
  const std::string kept = "fuzz-failed-" + name;
  std::mt19937_64 random(1);
  for (long run = std::atol(words[2]); run > 0; --run) {
    const Bytes input = changed(corpus, random);
    std::ofstream(kept, std::ios::binary)
        .write(reinterpret_cast<const char*>(input.data()), static_cast<long>(input.size()));
    target(input.data(), input.size());
  }
  std::filesystem::remove(kept);
  return 0;
}

}  // namespace

Registered::Registered(const char* name, Target target) { targets()[name] = target; }

}  // namespace csa::fuzz

int main(int count, char** words) { return csa::fuzz::run(count, words); }
